"""What curation of edits shows people: edit strips of what stayed and went, the audit, the tasks.

Edits are chosen by a hash of their place, so a sheet is a fair sample and always the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from infra import storage
from infra.document import Document, ImageSegment, TextSegment
from infra.manifest import Output, read_manifest, read_table
from infra.reporter import Reporter
from jobs.curate.edit.quotas import Quota
from jobs.curate.edit.records import THUMBNAILS
from jobs.curate.stage import kept_rows
from jobs.curated import Media, iter_unit
from jobs.images import decode
from jobs.pictures.charts import FunnelStage, bar_chart, funnel
from jobs.pictures.edit_strips import EditStrip, edit_strips
from jobs.pictures.task_bars import task_bars

SHEET_EDITS = 8
SHEET_TARS = 8
STAGES = ("scored", "size_matched", "judged", "audited")

Row = dict[str, Any]


def show_matched(output: Output, report: Reporter, catalogue: pa.Table, scored: str) -> None:
    """Edit strips of the kept pairs and, reason by reason, of the rejected ones."""
    _show_rows(output, report, _by_reason(catalogue), scored, lambda row: row["detail"] or _change(row))


def show_audit(output: Output, report: Reporter, shares: Mapping[str, float], limit: float) -> None:
    """Bars of the bad share of every subset, worst first, each with a mark at the limit."""
    if shares:
        percents = {name or "all": 100 * share for name, share in shares.items()}
        title = "Bad edits by subset (mark: the limit)"
        png = bar_chart(percents, title, "% of the edits judged", dict.fromkeys(percents, 100 * limit))
        _publish(output, report, "subsets", png)


def show_audited(output: Output, report: Reporter, catalogue: pa.Table, own: pa.Table, scored: str) -> None:
    """The funnel over all stages of the drop, and edit strips of kept and of rejected edits."""
    _publish(output, report, "funnel", funnel(funnel_stages(catalogue), "Edits that stay, stage by stage"))
    _show_rows(output, report, _by_reason(own), scored, lambda row: row["detail"] or _verdict(row))


def show_mixed(output: Output, report: Reporter, quotas: Mapping[str, Quota], tars: list[str]) -> None:
    """Shares of tasks before and after, and edit strips of every task."""
    if not quotas:
        return
    before = {task: quota.available for task, quota in quotas.items()}
    after = {task: quota.kept for task, quota in quotas.items()}
    target = {task: quota.target for task, quota in quotas.items()}
    _publish(output, report, "tasks", task_bars(before, after, target, "Tasks of the edits"))
    for task, strips in _strips_by_task(output.uri, tars, set(quotas)).items():
        _publish(output, report, f"task-{task}", edit_strips(strips, f"{task}: {after[task]:,} edits"))


def funnel_stages(catalogue: pa.Table) -> list[FunnelStage]:
    """What each stage kept and rejected, from a catalogue with one row per record of the drop."""
    left = len(catalogue)
    stages = []
    for stage in STAGES:
        gone = catalogue.filter(
            pc.and_(pc.equal(catalogue["stage"], stage), pc.not_equal(catalogue["status"], "kept"))
        )
        reasons = pc.coalesce(gone["reason"], gone["status"]).value_counts()
        rejected = {entry["values"].as_py(): entry["counts"].as_py() for entry in reasons}
        left -= len(gone)
        stages.append(FunnelStage(stage, left, dict(sorted(rejected.items()))))
    return stages


def _by_reason(catalogue: pa.Table) -> dict[str, list[Row]]:
    """Sheets of kept rows and of those rejected for each reason."""
    sheets = {"kept": _sample(kept_rows(catalogue))}
    rejected = catalogue.filter(pc.equal(catalogue["status"], "rejected"))
    for reason in sorted(set(rejected["reason"].to_pylist())):
        sheets[f"rejected-{reason}"] = _sample(rejected.filter(pc.equal(rejected["reason"], reason)))
    return sheets


def _show_rows(
    output: Output, report: Reporter, sheets: Mapping[str, list[Row]], scored: str, note: Any
) -> None:
    wanted = {row["source"] for rows in sheets.values() for row in rows}
    thumbnails = _thumbnails(scored, wanted)
    for name, rows in sheets.items():
        if rows:
            strips = [_strip(row, *thumbnails[row["source"]], note(row)) for row in rows]
            title = name.replace("rejected-", "rejected: ").replace("_", " ")
            _publish(output, report, name, edit_strips(strips, title))


def _strip(row: Row, before: Image.Image, after: Image.Image, note: str) -> EditStrip:
    return EditStrip(before, row["instruction"] or "(no instruction)", after, note)


def _change(row: Row) -> str:
    size = f"{row['width'][-1]}x{row['height'][-1]}"
    return f"{size}, {row['changed']:.0%} of the pixels changed"


def _verdict(row: Row) -> str:
    return f"{row['task']}, {row['score']} of 10: {row['verdict']}"


def _sample(rows: pa.Table) -> list[Row]:
    sources = rows["source"].to_pylist()
    lots = sorted(range(len(sources)), key=lambda n: hashlib.sha256(sources[n].encode()).digest())
    return list(rows.take(pa.array(sorted(lots[:SHEET_EDITS]), pa.int64())).to_pylist())


def _thumbnails(scored: str, wanted: set[str]) -> dict[str, tuple[Image.Image, Image.Image]]:
    """The stored thumbnails of some edits, before and after, read shard by shard."""
    found: dict[str, tuple[Image.Image, Image.Image]] = {}
    for path in read_manifest(scored).paths(".scores.parquet"):
        table = read_table(storage.join(scored, path), ["source", *THUMBNAILS])
        for row in table.filter(pc.is_in(table["source"], pa.array(wanted, pa.string()))).to_pylist():
            before, after = (Image.open(io.BytesIO(row[name])) for name in THUMBNAILS)
            found[row["source"]] = before, after
    return found


def _strips_by_task(folder: str, tars: list[str], tasks: set[str]) -> dict[str, list[EditStrip]]:
    """The first edits of each task in some of the published tars, which are in no order of content."""
    found: dict[str, list[EditStrip]] = {}
    for tar in tars[:SHEET_TARS]:
        for document, media in iter_unit(folder, tar):
            strips = found.setdefault(str(document.metadata["task"]), [])
            if len(strips) < SHEET_EDITS:
                strips.append(_document_strip(document, media))
        if tasks == found.keys() and all(len(strips) == SHEET_EDITS for strips in found.values()):
            break
    return dict(sorted(found.items()))


def _document_strip(document: Document, media: Media) -> EditStrip:
    images = [segment for segment in document.segments if isinstance(segment, ImageSegment)]
    # They were decoded once already, so their sizes are within what scoring allows.
    pictures = [decode(media[one.member], one.width * one.height) for one in images]
    text = next(s.text for s in document.segments if isinstance(s, TextSegment))
    return EditStrip(pictures[0], text, pictures[-1], str(document.metadata.get("subset") or ""))


def _publish(output: Output, report: Reporter, name: str, png: bytes) -> None:
    report.picture(name, output.picture(name, png))
