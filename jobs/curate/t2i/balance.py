"""t2i/balanced: another distribution of topics, by a cap on what each may keep or by quotas.

The cap is the largest number c for which min(n_i, c) <= share * sum_j min(n_j, c) for all topics i: the
share is of what is *kept*, so capping one topic tightens the cap for all. Quotas share out a total by the
weights of a target. Nothing is repeated: a topic with fewer pictures than its quota keeps them all and is
reported as short; how often a picture is shown is for the training's mixture to say.

Which pictures stay is decided by a hash of sample id and seed, so it depends on no order and no number of
workers.
"""

from __future__ import annotations

import hashlib
import math
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
from jobs.recipe import Balance
from jobs.specs.t2i import BalanceSettings


def run(spec: JobSpec[BalanceSettings], report: Reporter) -> Manifest:
    """Give each topic of the drop its quota; what goes over it is rejected as `over_quota`."""
    folder = only_input(spec, "t2i/topics")
    catalogue = kept_rows(read_catalogue(folder))
    topics = catalogue["topic"].to_pylist()
    available = Counter(topics)
    quotas = topic_quotas(available, spec.settings.balance)
    for line in _remarks(available, quotas, spec.settings.balance):
        report.log(line)
    chosen = choose(catalogue["sample_id"].to_pylist(), topics, quotas, spec.seed)
    details = [
        None if keep else f"{t}: {available[t]}, the quota is {quotas.get(t, 0)}"
        for keep, t in zip(chosen, topics, strict=True)
    ]
    catalogue = reject(catalogue, [None if keep else "over_quota" for keep in chosen], details)
    kept = Counter(topic for topic, keep in zip(topics, chosen, strict=True) if keep)
    output = Output(spec.output)
    show_balance(output, report, available, kept)
    files = publish_stage(output, catalogue, folder)
    return commit(spec, files, count_rows(catalogue), _figures(available, kept, quotas))


def topic_quotas(available: Mapping[str, int], balance: Balance) -> dict[str, int]:
    """The most that each topic may keep, in order of names; topics without one may keep nothing."""
    if balance.target is None:
        cap = topic_cap(available, balance.max_share)
        return {topic: n if cap is None else min(n, cap) for topic, n in sorted(available.items())}
    weights = dict.fromkeys(available, 1.0) if balance.target == "even" else balance.target
    weights = {topic: weight for topic, weight in sorted(weights.items()) if weight > 0}
    return share_out(balance.total or largest_total(available, weights), weights)


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


def largest_total(available: Mapping[str, int], weights: Mapping[str, float]) -> int:
    """The most that can be shared out by weights without a topic that has pictures falling short."""
    whole = sum(weights.values())
    limits = [n * whole / weights[topic] for topic, n in available.items() if n and topic in weights]
    return math.floor(min(limits, default=0) * (1 + 1e-12))


def share_out(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Whole quotas by weights that add up to `total`, by the largest remainders."""
    whole = sum(weights.values())
    ideal = {topic: total * weight / whole for topic, weight in weights.items()}
    quotas = {topic: math.floor(share) for topic, share in ideal.items()}
    by_remainder = sorted(ideal, key=lambda topic: (quotas[topic] - ideal[topic], topic))
    for topic in by_remainder[: total - sum(quotas.values())]:
        quotas[topic] += 1
    return quotas


def choose(ids: list[int], topics: list[str], quotas: Mapping[str, int], seed: int) -> list[bool]:
    """Which records stay: as many of each topic as its quota, those with the smallest hash of id and seed."""
    ranks = sorted(range(len(ids)), key=lambda row: (_lot(ids[row], seed), ids[row]))
    taken: Counter[str] = Counter()
    chosen = [False] * len(ids)
    for row in ranks:
        if taken[topics[row]] < quotas.get(topics[row], 0):
            chosen[row] = True
            taken[topics[row]] += 1
    return chosen


def _lot(sample_id: int, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{sample_id}".encode(), digest_size=8).digest()


def _remarks(available: Mapping[str, int], quotas: Mapping[str, int], balance: Balance) -> list[str]:
    """What people should know: a share that cannot be had, topics with too few pictures."""
    if balance.target is None:
        if not available or topic_cap(available, balance.max_share) is not None:
            return []
        few = f"a share of {balance.max_share:g} cannot be had with {len(available)} topic(s)"
        return [f"{few}: nothing is removed"]
    short = {topic: quota for topic, quota in quotas.items() if available.get(topic, 0) < quota}
    return [f"topic {topic!r} is short: {available.get(topic, 0)} of {n}" for topic, n in short.items()]


def _figures(
    available: Mapping[str, int], kept: Mapping[str, int], quotas: Mapping[str, int]
) -> dict[str, Any]:
    total = sum(kept.values())
    return {
        "largest_share": max(kept.values(), default=0) / total if total else 0.0,
        "quotas": {
            topic: {
                "available": available.get(topic, 0),
                "quota": quotas.get(topic, 0),
                "kept": kept.get(topic, 0),
                "short": max(0, quotas.get(topic, 0) - kept.get(topic, 0)),
            }
            for topic in sorted(available.keys() | quotas.keys())
        },
    }
