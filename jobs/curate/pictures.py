"""What curation shows people: contact sheets of what stayed and went, funnels, topics, histograms.

Pictures are chosen by a hash of their place, so a sheet is a fair sample and always the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from infra.document import Document, TextSegment
from infra.manifest import Output
from infra.reporter import Reporter
from jobs.curate.stage import kept_rows
from jobs.curate.t2i.decisions import REASONS
from jobs.curate.thumbnails import read_thumbnails
from jobs.curated import Media, first_picture, iter_unit
from jobs.pictures.charts import FunnelStage, bar_chart, funnel
from jobs.pictures.sheets import contact_sheet
from jobs.pictures.texts import histogram

SHEET_PICTURES = 24
PAIR_GAP = 6
STAGES = ("fetched", "scored", "filtered", "selected", "topics", "balanced", "captioned")

Row = dict[str, Any]


def show_scored(output: Output, report: Reporter, catalogue: pa.Table) -> None:
    """Some of the pictures, and why records could not be scored; there is nothing to see of those."""
    if counts := _reasons(catalogue):
        png = bar_chart(_ranked(counts), "Records that cannot be used", "records")
        report.picture("reasons", output.picture("reasons", png))
    rows = _sample(kept_rows(catalogue))
    images = _thumbnails(output.uri, rows)
    labels = [_size(row) for row in rows]
    title = "Some of the pictures, as they came"
    _sheet(output, report, "scored", [images[row["source"]] for row in rows], labels, title)


def show_filtered(output: Output, report: Reporter, catalogue: pa.Table, scored: str) -> None:
    """The funnel by reason, and contact sheets of what was kept and of what each filter rejected."""
    counts, left = _reasons(catalogue), len(catalogue)
    stages = []
    for reason in REASONS:
        left -= counts.get(reason, 0)
        stages.append(FunnelStage(reason.replace("_", " "), left, {reason: counts.get(reason, 0)}))
    png = funnel(stages, f"{len(catalogue):,} pictures, filter by filter")
    report.picture("funnel", output.picture("funnel", png))
    _show_decided(output, report, catalogue, scored, _size)


def show_aesthetics(output: Output, report: Reporter, catalogue: pa.Table, scored: str) -> None:
    """How aesthetic scores are spread, and the pictures with the lowest and with the highest."""
    if not len(catalogue):
        return
    scores = catalogue["aesthetic"].to_numpy()
    png = histogram(scores, "Aesthetic scores", "score")
    report.picture("aesthetic", output.picture("aesthetic", png))
    ranked = catalogue.sort_by([("aesthetic", "ascending"), ("source", "ascending")])
    count = min(SHEET_PICTURES, len(ranked) // 2)
    worst = ranked.slice(0, count).to_pylist()
    best = ranked.slice(len(ranked) - count).to_pylist()[::-1]
    images = _thumbnails(scored, [*worst, *best])
    for name, rows in (("best", best), ("worst", worst)):
        labels = [f"{row['aesthetic']:.2f}" for row in rows]
        title = f"The {name} by aesthetic score"
        _sheet(output, report, name, [images[row["source"]] for row in rows], labels, title)


def show_selected(output: Output, report: Reporter, catalogue: pa.Table, scored: str) -> None:
    """Contact sheets of what stayed and of what went, by reason."""
    _show_decided(output, report, catalogue, scored, lambda row: f"{row['aesthetic']:.2f}")


def show_topics(output: Output, report: Reporter, counts: Mapping[str, int]) -> None:
    """Bars of the topics."""
    if counts:
        png = bar_chart(_ranked(counts), "Topics", "pictures")
        report.picture("topics", output.picture("topics", png))


def show_balance(
    output: Output, report: Reporter, available: Mapping[str, int], kept: Mapping[str, int]
) -> None:
    """Bars of the topics after balancing, each with a mark at what there was before."""
    if available:
        before = _ranked(available)
        after = {topic: float(kept.get(topic, 0)) for topic in before}
        png = bar_chart(after, "Topics after balancing (mark: before)", "pictures", before)
        report.picture("topics", output.picture("topics", png))


def show_captioned(output: Output, report: Reporter, catalogue: pa.Table, tars: list[str]) -> None:
    """A contact sheet with captions, their lengths, and the funnel over all stages of the drop."""
    png = funnel(funnel_stages(catalogue), "Records that stay, stage by stage")
    report.picture("funnel", output.picture("funnel", png))
    lengths = [len(text) for text in kept_rows(catalogue)["text"].to_pylist()]
    if lengths:
        png = histogram(np.array(lengths), "Lengths of the captions", "characters")
        report.picture("caption_lengths", output.picture("caption_lengths", png))
    documents = list(islice(_documents(output.uri, tars), SHEET_PICTURES))
    images = [first_picture(document, media) for document, media in documents]
    _sheet(output, report, "captioned", images, [_text(document) for document, _ in documents])


def funnel_stages(catalogue: pa.Table) -> list[FunnelStage]:
    """What each stage kept and rejected, from a catalogue with one row per record of the drop.

    Stages that rejected nothing are left out, but for the last.
    """
    left = len(catalogue)
    stages = []
    for stage in STAGES:
        rejected = _reasons(catalogue.filter(pc.equal(catalogue["stage"], stage)))
        left -= sum(rejected.values())
        if rejected or stage == STAGES[-1]:
            stages.append(FunnelStage(stage, left, dict(sorted(rejected.items()))))
    return stages


def _show_decided(
    output: Output, report: Reporter, catalogue: pa.Table, scored: str, label: Callable[[Row], str]
) -> None:
    """A sheet of what was kept, and one for each reason; duplicates stand beside what they repeat."""
    sheets = {"kept": _sample(kept_rows(catalogue))}
    for reason in sorted(_reasons(catalogue)):
        sheets[f"rejected-{reason}"] = _sample(catalogue.filter(pc.equal(catalogue["reason"], reason)))
    originals = _originals(catalogue, sheets.values())
    images = _thumbnails(scored, [*originals.values(), *(row for rows in sheets.values() for row in rows)])
    for name, rows in sheets.items():
        shown = [images[row["source"]] for row in rows]
        if name.endswith("duplicate"):
            firsts = (images[originals[row["duplicate_of"]]["source"]] for row in rows)
            shown = [_beside(first, image) for first, image in zip(firsts, shown, strict=True)]
        labels = [row["detail"] or label(row) for row in rows]
        _sheet(output, report, name, shown, labels, _title(name))


def _title(name: str) -> str:
    words = name.replace("rejected-", "Rejected: ").replace("_", " ")
    return f"{words}, each beside the one that stays" if name.endswith("duplicate") else words.capitalize()


def _originals(catalogue: pa.Table, sheets: Iterable[Sequence[Row]]) -> dict[int, Row]:
    """The kept rows that duplicates on the sheets repeat, by sample id."""
    ids = {row["duplicate_of"] for rows in sheets for row in rows} - {None}
    wanted = pa.array(sorted(ids), pa.uint64())
    kept = kept_rows(catalogue)
    found = kept.filter(pc.is_in(kept["sample_id"], wanted)).to_pylist()
    return {row["sample_id"]: row for row in found}


def _beside(first: Image.Image, second: Image.Image) -> Image.Image:
    """Two pictures of one height side by side."""
    height = max(first.height, second.height)
    pair = [image.resize((max(1, image.width * height // image.height), height)) for image in (first, second)]
    sheet = Image.new("RGB", (pair[0].width + PAIR_GAP + pair[1].width, height), "white")
    sheet.paste(pair[0], (0, 0))
    sheet.paste(pair[1], (pair[0].width + PAIR_GAP, 0))
    return sheet


def _size(row: Row) -> str:
    return f"{row['width']}x{row['height']}"


def _reasons(catalogue: pa.Table) -> dict[str, int]:
    """How many records went, by reason."""
    gone = catalogue.filter(pc.not_equal(catalogue["status"], "kept"))
    return {entry["values"].as_py(): entry["counts"].as_py() for entry in gone["reason"].value_counts()}


def _ranked(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: float(counts[name]) for name in sorted(counts, key=lambda name: (-counts[name], name))}


def _sample(rows: pa.Table) -> list[Row]:
    sources = rows["source"].to_pylist()
    lots = sorted(range(len(sources)), key=lambda n: hashlib.sha256(sources[n].encode()).digest())
    return list(rows.take(pa.array(sorted(lots[:SHEET_PICTURES]), pa.int64())).to_pylist())


def _thumbnails(scored: str, rows: Iterable[Row]) -> dict[str, Image.Image]:
    """The stored thumbnails of some records by source, read shard by shard."""
    shards: dict[str, set[str]] = {}
    for row in rows:
        shards.setdefault(row["shard"], set()).add(row["source"])
    return {
        source: image
        for shard, sources in shards.items()
        for source, image in read_thumbnails(scored, shard, sources)
    }


def _sheet(
    output: Output,
    report: Reporter,
    name: str,
    images: list[Image.Image],
    labels: list[str],
    title: str = "",
) -> None:
    if images:
        report.picture(name, output.picture(name, contact_sheet(images, labels, title=title)))


def _documents(folder: str, tars: list[str]) -> Iterable[tuple[Document, Media]]:
    return (pair for tar in tars for pair in iter_unit(folder, tar))


def _text(document: Document) -> str:
    return next(s.text for s in document.segments if isinstance(s, TextSegment))
