"""What subject curation shows people: sheets of pictures, strips of pairs, bars of types and similarities.

What is shown is chosen by a hash of its place, so a sheet is a fair sample and always the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from infra.manifest import Output
from infra.reporter import Reporter
from jobs.curate.stage import kept_rows
from jobs.curate.thumbnails import read_thumbnails
from jobs.pictures.charts import FunnelStage, bar_chart, funnel
from jobs.pictures.pair_strips import PairStrip, pair_strips
from jobs.pictures.sheets import contact_sheet

Row = dict[str, Any]

SHEET_PICTURES = 18
SHEET_PAIRS = 6
"""More would not fit into a picture of readable size."""
BINS = 20
_CELL = 68


class Thumbnails:
    """The thumbnails that scoring stored, by source."""

    def __init__(self, scored: str, pictures: pa.Table) -> None:
        sources, shards = pictures["source"].to_pylist(), pictures["shard"].to_pylist()
        self._scored, self._shards = scored, dict(zip(sources, shards, strict=True))

    def __call__(self, sources: Iterable[str]) -> dict[str, Image.Image]:
        """Some of them, read shard by shard."""
        wanted: dict[str, set[str]] = {}
        for source in sources:
            wanted.setdefault(self._shards[source], set()).add(source)
        return {
            source: picture
            for shard, members in sorted(wanted.items())
            for source, picture in read_thumbnails(self._scored, shard, members)
        }


def show_grouped(output: Output, report: Reporter, catalogue: pa.Table, scored: str) -> None:
    """Contact sheets of the kept pictures and, reason by reason, of the rejected ones; sizes of groups."""
    sheets = _by_reason(catalogue, SHEET_PICTURES)
    thumbnails = Thumbnails(scored, catalogue)(row["source"] for rows in sheets.values() for row in rows)
    for name, rows in sheets.items():
        labels = [row["detail"] or _last(row["group"]) for row in rows]
        _publish(
            output,
            report,
            name,
            contact_sheet([thumbnails[row["source"]] for row in rows], labels, cell=_CELL),
        )
    sizes = Counter(Counter(kept_rows(catalogue)["group"].to_pylist()).values())
    bars = {f"{size} pictures": float(sizes[size]) for size in sorted(sizes)}
    _publish(output, report, "groups", bar_chart(bars, "How many pictures groups have", "groups"))


def show_candidates(output: Output, report: Reporter, catalogue: pa.Table, thumbnails: Thumbnails) -> None:
    """Strips of the candidates and, reason by reason, of the rejected pairs; how similar all pairs are."""
    sheets = _by_reason(catalogue, SHEET_PAIRS)
    _strips(output, report, sheets, thumbnails, lambda row: _last(row["group"]))
    cosines = catalogue["similarity"].to_numpy()
    bars = _histogram(cosines, catalogue["status"].to_numpy(zero_copy_only=False) == "kept")
    _publish(output, report, "similarity", bars)


def show_confirmed(output: Output, report: Reporter, catalogue: pa.Table, thumbnails: Thumbnails) -> None:
    """Strips of the kept pairs by type and of the rejected ones by reason, bars of types, the funnel.

    Args:
        output: of the stage.
        report: told where the pictures are.
        catalogue: one row per pair considered, with `stage`.
        thumbnails: of the pictures.
    """
    own = catalogue.filter(pc.equal(catalogue["stage"], "confirmed"))
    sheets = _by_reason(own, SHEET_PAIRS)
    sheets.pop("kept", None)
    kept = kept_rows(own)
    types = Counter(kept["subject_type"].to_pylist())
    for kind in sorted(types):
        sheets[f"kept-{kind}"] = _sample(kept.filter(pc.equal(kept["subject_type"], kind)), SHEET_PAIRS)
    _strips(output, report, sheets, thumbnails, lambda row: row["instruction"] or row["detail"] or "")
    bars = {kind: float(types[kind]) for kind in sorted(types)}
    _publish(output, report, "types", bar_chart(bars, "What pairs share", "pairs"))
    _publish(output, report, "funnel", funnel(_stages(catalogue), "Pairs that stay, stage by stage"))


def _stages(catalogue: pa.Table) -> list[FunnelStage]:
    """What both stages that decide about pairs kept and rejected."""
    left = len(catalogue)
    stages = []
    for stage in ("candidates", "confirmed"):
        rows = catalogue.filter(pc.equal(catalogue["stage"], stage))
        reasons = Counter(reason for reason in rows["reason"].to_pylist() if reason)
        left -= sum(reasons.values())
        stages.append(FunnelStage(stage, left, dict(sorted(reasons.items()))))
    return stages


def _by_reason(catalogue: pa.Table, most: int) -> dict[str, list[Row]]:
    """A fair sample of the kept rows, and of the others by reason."""
    sheets = {"kept": _sample(kept_rows(catalogue), most)}
    others = catalogue.filter(pc.not_equal(catalogue["status"], "kept"))
    fates = zip(others["status"].to_pylist(), others["reason"].to_pylist(), strict=True)
    for status, reason in sorted(set(fates)):
        sheets[f"{status}-{reason}"] = _sample(others.filter(pc.equal(others["reason"], reason)), most)
    return {name: rows for name, rows in sheets.items() if rows}


def _sample(rows: pa.Table, most: int) -> list[Row]:
    sources = rows["source"].to_pylist()
    lots = sorted(range(len(sources)), key=lambda n: hashlib.sha256(sources[n].encode()).digest())
    return list(rows.take(pa.array(sorted(lots[:most]), pa.int64())).to_pylist())


def _strips(
    output: Output,
    report: Reporter,
    sheets: Mapping[str, list[Row]],
    thumbnails: Thumbnails,
    words: Callable[[Row], str],
) -> None:
    """A picture for each sheet of pairs, with the words for each pair."""
    sides = ("reference", "target")
    found = thumbnails(row[side] for rows in sheets.values() for row in rows for side in sides)
    for name, rows in sheets.items():
        strips = [
            PairStrip(found[row["reference"]], found[row["target"]], _mark(row), words(row)) for row in rows
        ]
        title = name.replace("-", ": ").replace("_", " ")
        _publish(output, report, name, pair_strips(strips, title))


def _mark(row: Row) -> str:
    """The subject, where there is one, and the similarity."""
    return f"{row.get('subject') or 'cosine'}  {row['similarity']:.3f}"


def _histogram(cosines: np.ndarray[Any, Any], kept: np.ndarray[Any, Any]) -> bytes:
    """Pairs by similarity in equal bins; a mark on each bar says how many of them were kept."""
    edges = np.histogram_bin_edges(cosines, BINS) if len(cosines) else np.array([0.0, 1.0])
    every, stay = (np.histogram(values, edges)[0] for values in (cosines, cosines[kept]))
    names = [f"{low:.3f} to {high:.3f}" for low, high in pairwise(edges)]
    return bar_chart(
        dict(zip(names, every.astype(float).tolist(), strict=True)),
        "How similar the pairs of a group are (mark: kept)",
        "pairs",
        dict(zip(names, stay.astype(float).tolist(), strict=True)),
    )


def _publish(output: Output, report: Reporter, name: str, png: bytes) -> None:
    report.picture(name, output.picture(name, png))


def _last(group: str) -> str:
    """The last part of a group's name."""
    return group.rstrip("/").rpartition("/")[2]
