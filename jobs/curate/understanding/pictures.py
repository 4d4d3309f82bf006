"""What the curation of understanding shows people: pictures with questions and answers, tasks, the funnel."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from infra.document import Document, TextSegment
from infra.manifest import Output
from infra.reporter import Reporter
from jobs.curate.stage import kept_rows
from jobs.curated import Media, first_picture, iter_unit
from jobs.pictures.charts import FunnelStage, bar_chart, funnel
from jobs.pictures.sheets import contact_sheet

SHEET_PICTURES = 12


def show_written(output: Output, report: Reporter, catalogue: pa.Table, tars: list[str]) -> None:
    """The tasks, why pictures have none, and documents of every task."""
    tasks = Counter(kept_rows(catalogue)["task"].to_pylist())
    if tasks:
        values = {task: float(number) for task, number in sorted(tasks.items())}
        _publish(output, report, "tasks", bar_chart(values, "Documents by task", "documents"))
    rejected = catalogue.filter(pc.not_equal(catalogue["status"], "kept"))
    reasons = dict(sorted(Counter(rejected["reason"].to_pylist()).items()))
    stage = FunnelStage("written", len(catalogue) - len(rejected), reasons)
    _publish(output, report, "funnel", funnel([stage], "What became of the pictures"))
    for task in sorted(tasks):
        _sheet(output, report, task, _chosen(output.uri, tars, task))


def show_dialogues(output: Output, report: Reporter, catalogue: pa.Table, tars: list[str]) -> None:
    """The funnel of a source's dialogues, and some of them."""
    rejected = Counter(
        (row["stage"], row["reason"])
        for row in catalogue.select(["stage", "status", "reason"]).to_pylist()
        if row["status"] != "kept"
    )
    left, stages = len(catalogue), []
    for name in ("checked", "dialogues"):
        reasons = {reason: n for (stage, reason), n in sorted(rejected.items()) if stage == name}
        left -= sum(reasons.values())
        stages.append(FunnelStage(name, left, reasons))
    _publish(output, report, "funnel", funnel(stages, "Dialogues that stay, stage by stage"))
    _sheet(output, report, "dialogues", _chosen(output.uri, tars, None))


def _chosen(folder: str, tars: Iterable[str], task: str | None) -> list[tuple[Document, Media]]:
    """A few documents with a picture, the first by a hash of their ids; few are held at a time."""
    chosen: list[tuple[bytes, int, tuple[Document, Media]]] = []
    for tar in tars:
        for document, media in iter_unit(folder, tar):
            if media and (task is None or document.metadata["task"] == task):
                lot = hashlib.sha256(str(document.sample_id).encode()).digest()
                chosen.append((lot, document.sample_id, (document, media)))
                chosen = sorted(chosen, key=lambda entry: entry[:2])[:SHEET_PICTURES]
    return [pair for _, _, pair in chosen]


def _sheet(output: Output, report: Reporter, name: str, found: list[tuple[Document, Media]]) -> None:
    if found:
        images = [first_picture(document, media) for document, media in found]
        _publish(output, report, name, contact_sheet(images, [_label(document) for document, _ in found]))


def _label(document: Document) -> str:
    return " → ".join(part.text for part in document.segments if isinstance(part, TextSegment))


def _publish(output: Output, report: Reporter, name: str, png: bytes) -> None:
    report.picture(name, output.picture(name, png))
