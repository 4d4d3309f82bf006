"""What curation shows people: contact sheets of what stayed and went, the funnel, the topics.

Pictures are chosen by a hash of their place, so a sheet is a fair sample and always the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from infra import storage
from infra.document import Document, TextSegment
from infra.manifest import Output, read_table
from infra.reporter import Reporter
from jobs.curate.stage import kept_rows
from jobs.curated import Media, iter_unit
from jobs.images import decode
from jobs.pictures.charts import FunnelStage, bar_chart, funnel
from jobs.pictures.sheets import contact_sheet

SHEET_PICTURES = 24
STAGES = ("filtered", "topics", "balanced", "captioned")


def show_filtered(output: Output, report: Reporter, catalogue: pa.Table, score_paths: list[str]) -> None:
    """Contact sheets of the kept pictures and, reason by reason, of the rejected ones that decode."""
    sheets = {"kept": _sample(kept_rows(catalogue))}
    rejected = catalogue.filter(
        pc.and_(pc.not_equal(catalogue["status"], "kept"), catalogue["width"].is_valid())
    )
    for reason in sorted(set(rejected["reason"].to_pylist())):
        sheets[f"rejected-{reason}"] = _sample(rejected.filter(pc.equal(rejected["reason"], reason)))
    wanted = {row["source"] for rows in sheets.values() for row in rows}
    thumbnails = _thumbnails(output.uri, score_paths, wanted)
    for name, rows in sheets.items():
        labels = [row["detail"] or f"{row['width']}x{row['height']}" for row in rows]
        _sheet(output, report, name, [thumbnails[row["source"]] for row in rows], labels)


def show_balance(
    output: Output, report: Reporter, available: Mapping[str, int], kept: Mapping[str, int]
) -> None:
    """Bars of the topics after balancing, each with a mark at what there was before."""
    topics = sorted(available, key=lambda topic: (-available[topic], topic))
    if topics:
        after = {topic: float(kept.get(topic, 0)) for topic in topics}
        before = {topic: float(available[topic]) for topic in topics}
        png = bar_chart(after, "Topics after balancing (mark: before)", "pictures", before)
        report.picture("topics", output.picture("topics", png))


def show_captioned(output: Output, report: Reporter, catalogue: pa.Table, tars: list[str]) -> None:
    """A contact sheet with captions, and the funnel over all stages of the drop."""
    png = funnel(funnel_stages(catalogue), "Records that stay, stage by stage")
    report.picture("funnel", output.picture("funnel", png))
    documents = list(islice(_documents(output.uri, tars), SHEET_PICTURES))
    images = [decode(next(iter(media.values()))) for _, media in documents]
    _sheet(output, report, "captioned", images, [_text(document) for document, _ in documents])


def funnel_stages(catalogue: pa.Table) -> list[FunnelStage]:
    """What each stage kept and rejected, from a catalogue with one row per record of the drop."""
    left = len(catalogue)
    stages = []
    for stage in STAGES:
        counts = catalogue.filter(
            pc.and_(pc.equal(catalogue["stage"], stage), pc.not_equal(catalogue["status"], "kept"))
        )["reason"].value_counts()
        rejected = {entry["values"].as_py(): entry["counts"].as_py() for entry in counts}
        left -= sum(rejected.values())
        stages.append(FunnelStage(stage, left, dict(sorted(rejected.items()))))
    return stages


def _sample(rows: pa.Table) -> list[dict[str, Any]]:
    sources = rows["source"].to_pylist()
    lots = sorted(range(len(sources)), key=lambda n: hashlib.sha256(sources[n].encode()).digest())
    return list(rows.take(pa.array(sorted(lots[:SHEET_PICTURES]), pa.int64())).to_pylist())


def _thumbnails(folder: str, paths: Iterable[str], wanted: set[str]) -> dict[str, Image.Image]:
    """The stored thumbnails of some records, read shard by shard."""
    found: dict[str, Image.Image] = {}
    for path in paths:
        table = read_table(storage.join(folder, path), ["source", "thumbnail"])
        for source, data in zip(table["source"].to_pylist(), table["thumbnail"], strict=True):
            if source in wanted:
                found[source] = Image.open(io.BytesIO(data.as_py()))
    return found


def _sheet(output: Output, report: Reporter, name: str, images: list[Image.Image], labels: list[str]) -> None:
    if images:
        report.picture(name, output.picture(name, contact_sheet(images, labels)))


def _documents(folder: str, tars: list[str]) -> Iterable[tuple[Document, Media]]:
    return (pair for tar in tars for pair in iter_unit(folder, tar))


def _text(document: Document) -> str:
    return next(s.text for s in document.segments if isinstance(s, TextSegment))
