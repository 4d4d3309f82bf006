"""subject/grouped: which pictures of each group can be paired at all.

A picture has one reason, the first that applies: those of text-to-image curation, whose duplicates are
looked for within a group, for a pair of near copies teaches copying; `over_group_limit`, by lot, in groups
of very many pictures; and `alone`, where the group has no other picture left. A group is looked at within
its drop.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import groupby
from typing import Any

import pyarrow as pa

from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.stage import commit, count_rows, kept_rows, only_input, publish_stage, reject
from jobs.curate.subject.pictures import show_grouped
from jobs.curate.subject.score import read_scores
from jobs.curate.t2i.decisions import decide
from jobs.curate.t2i.score import in_order
from jobs.specs.subject import GroupSettings


def run(spec: JobSpec[GroupSettings], report: Reporter) -> Manifest:
    """Decide about every picture of the drop from its stored scores."""
    output = Output(spec.output)
    folder = only_input(spec, "subject/scored")
    catalogue = in_order(decide_groups(read_scores(folder), spec.settings, spec.seed))
    report.progress(len(catalogue), len(catalogue), "pictures")
    show_grouped(output, report, catalogue, folder)
    return commit(spec, publish_stage(output, catalogue, folder), count_rows(catalogue), _figures(catalogue))


def decide_groups(scores: pa.Table, settings: GroupSettings, seed: int) -> pa.Table:
    """Set `status`, `reason` and `detail`, and add `duplicate_of`, in a table of scores of pictures."""
    ordered = scores.sort_by([("group", "ascending"), ("source", "ascending")])
    decided = []
    start = 0
    for _, members in groupby(ordered["group"].to_pylist()):
        length = len(list(members))
        decided.append(decide_group(ordered.slice(start, length), settings, seed))
        start += length
    empty = decide_group(ordered.slice(0, 0), settings, seed)
    return pa.concat_tables([empty, *decided]).sort_by("source")


def decide_group(scores: pa.Table, settings: GroupSettings, seed: int) -> pa.Table:
    """The same of one group, in the order of sources, whose first stays of duplicates."""
    table = decide(scores, settings.filters, settings.duplicates)
    reasons, details = table["reason"].to_pylist(), table["detail"].to_pylist()
    ids = table["sample_id"].to_pylist()
    left = [number for number, reason in enumerate(reasons) if reason is None]
    if len(left) == 1:
        reasons[left[0]], details[left[0]] = "alone", f"the group has {len(ids)}"
    for number in sorted(left, key=lambda n: (_lot(ids[n], seed), ids[n]))[settings.max_group :]:
        reasons[number] = "over_group_limit"
        details[number] = f"{len(left)} pictures, the limit is {settings.max_group}"
    return reject(table, reasons, details)


def _lot(sample_id: int, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{sample_id}".encode(), digest_size=8).digest()


def _figures(catalogue: pa.Table) -> dict[str, Any]:
    sizes = Counter(kept_rows(catalogue)["group"].to_pylist())
    return {
        "groups": len(sizes),
        "largest_group": max(sizes.values(), default=0),
        "pairs": sum(n * (n - 1) // 2 for n in sizes.values()),
    }
