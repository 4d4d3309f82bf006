"""edit/subsets: which subsets go as a whole, over all drops, for a drop alone may hold a subset's worst part.

Bad edits count, and those whose picture did not change at all (paper 5.3.1); edits that are no edits for
other reasons say nothing of their subset. What is published is the list of dropped subsets by name, so that
a new drop that drops none changes nothing downstream.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infra.catalogue import Counts
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.edit.bad import why_bad
from jobs.curate.edit.pictures import show_audit
from jobs.curate.stage import commit, kept_rows, read_catalogue, rejected_before
from jobs.specs.edit import EditSubsetSettings

DROPPED = "data/dropped.parquet"

_SHOWN = 200
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Audit:
    """What became of a subset. `low` and `high` are Wilson's interval of the bad share, at 95%."""

    subset: str
    judged: int
    bad: int
    share: float
    low: float
    high: float
    dropped: bool


def run(spec: JobSpec[EditSubsetSettings], report: Reporter) -> Manifest:
    """Count the bad edits of each subset; publish the list of dropped subsets."""
    counts: dict[str, tuple[int, int]] = {}
    for folder in spec.inputs["edit/judged"]:
        for subset, judged, bad in count_bad(folder, spec.settings):
            before = counts.get(subset, (0, 0))
            counts[subset] = (before[0] + judged, before[1] + bad)
    audits = audit_subsets(counts, spec.settings)
    output = Output(spec.output)
    names = sorted(one.subset for one in audits if one.dropped)
    dropped = pa.table({"subset": pa.array(names, pa.string())})
    entry = output.publish_table(DROPPED, dropped)
    show_audit(output, report, {one.subset: one.share for one in audits}, spec.settings.max_bad)
    return commit(spec, [entry], Counts(), _figures(audits))


def audit_subsets(counts: Mapping[str, tuple[int, int]], settings: EditSubsetSettings) -> list[Audit]:
    """What becomes of subsets, from how many of their edits were judged and how many are bad; worst first."""
    audits = []
    for subset, (judged, bad) in counts.items():
        share = bad / judged if judged else 0.0
        dropped = judged >= settings.min_judged and share > settings.max_bad
        audits.append(Audit(subset, judged, bad, share, *wilson(bad, judged), dropped))
    return sorted(audits, key=lambda one: (-one.share, one.subset))


def wilson(bad: int, judged: int) -> tuple[float, float]:
    """Wilson's score interval of a share, at 95% (Wilson, 1927)."""
    if not judged:
        return 0.0, 1.0
    share, z = bad / judged, _NORMAL_95
    centre = share + z * z / (2 * judged)
    reach = z * math.sqrt(share * (1 - share) / judged + z * z / (4 * judged**2))
    scale = 1 + z * z / judged
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


def count_bad(folder: str, settings: EditSubsetSettings) -> Iterable[tuple[str, int, int]]:
    """Subset, edits judged, and bad ones among them, of a finished edit/judged."""
    kept = kept_rows(read_catalogue(folder))
    earlier = rejected_before(folder)
    unchanged = earlier.filter(pc.equal(earlier["reason"], "unchanged"))
    found: dict[str, tuple[int, int]] = {}
    wrong = why_bad(kept, settings.min_score, settings.max_changed)
    bad = [*(why is not None for why in wrong), *[True] * len(unchanged)]
    for subset, is_bad in zip(
        [*kept["subset"].to_pylist(), *unchanged["subset"].to_pylist()], bad, strict=True
    ):
        judged, number = found.get(subset, (0, 0))
        found[subset] = (judged + 1, number + is_bad)
    return [(subset, *counts) for subset, counts in found.items()]


def _figures(audits: list[Audit]) -> dict[str, Any]:
    rows = [{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(a).items()} for a in audits]
    return {"subsets": len(audits), "dropped": sum(one.dropped for one in audits), "audit": rows[:_SHOWN]}
