"""t2i/balanced: a flatter distribution of topics, by a cap on what each topic may keep.

The cap is the largest number c for which min(n_i, c) <= share * sum_j min(n_j, c) for all topics i: the
share is of what is *kept*, so capping one topic tightens the cap for all. Which pictures stay is
decided by a hash of sample id and seed, so it depends on no order and no number of workers.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.pictures import show_balance
from jobs.curate.stage import (
    commit,
    count_rows,
    kept_rows,
    only_input,
    publish_stage,
    read_catalogue,
    reject,
)
from jobs.specs.t2i import BalanceSettings


def run(spec: JobSpec[BalanceSettings], report: Reporter) -> Manifest:
    """Cap the topics of the drop; what goes over its quota is rejected as `over_quota`."""
    folder = only_input(spec, "t2i/topics")
    catalogue = kept_rows(read_catalogue(folder))
    topics = catalogue["topic"].to_pylist()
    available = Counter(topics)
    cap = topic_cap(available, spec.settings.balance.max_share)
    if available and cap is None:
        share = spec.settings.balance.max_share
        report.log(f"a share of {share:g} cannot be had with {len(available)} topic(s): nothing is removed")
    chosen = choose(catalogue["sample_id"].to_pylist(), topics, cap, spec.seed)
    reasons = [None if keep else "over_quota" for keep in chosen]
    details = [
        None if keep else f"{t}: {available[t]}, the quota is {cap}"
        for keep, t in zip(chosen, topics, strict=True)
    ]
    catalogue = reject(catalogue, list(reasons), list(details))
    kept = Counter(topic for topic, keep in zip(topics, chosen, strict=True) if keep)
    output = Output(spec.output)
    show_balance(output, report, available, kept)
    files = publish_stage(output, catalogue, folder)
    return commit(spec, files, count_rows(catalogue), _figures(available, kept, cap))


def topic_cap(available: Mapping[str, int], max_share: float) -> int | None:
    """The most that any topic may keep so that none exceeds `max_share` of what all keep.

    Returns:
        The cap, or None where no cap reaches the share: there are fewer than 1 / max_share topics.
    """
    low, high = 0, max(available.values(), default=0)
    # The kept total over the cap only falls as the cap rises, so the caps that hold are an interval.
    while low < high:
        middle = (low + high + 1) // 2
        total = sum(min(n, middle) for n in available.values())
        if middle <= max_share * total * (1 + 1e-12):
            low = middle
        else:
            high = middle - 1
    return low or None


def choose(ids: list[int], topics: list[str], cap: int | None, seed: int) -> list[bool]:
    """Which records stay: of each topic the `cap` with the smallest hash of sample id and seed."""
    ranks = sorted(range(len(ids)), key=lambda row: (_lot(ids[row], seed), ids[row]))
    taken: Counter[str] = Counter()
    chosen = [False] * len(ids)
    for row in ranks:
        if cap is None or taken[topics[row]] < cap:
            chosen[row] = True
            taken[topics[row]] += 1
    return chosen


def _lot(sample_id: int, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{sample_id}".encode(), digest_size=8).digest()


def _figures(available: Mapping[str, int], kept: Mapping[str, int], cap: int | None) -> dict[str, Any]:
    total = sum(kept.values())
    return {
        "cap": cap,
        "largest_share": max(kept.values(), default=0) / total if total else 0.0,
        "quotas": {
            topic: {"available": n, "quota": n if cap is None else min(n, cap), "kept": kept.get(topic, 0)}
            for topic, n in sorted(available.items())
        },
    }
