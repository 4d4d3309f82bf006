"""How many edits of each task stay, and which.

With weights w that sum to 1 over the tasks that there are, and n edits of a task, a mix of N edits has
min(n, N w) of it. N is the largest for which the tasks that have enough (n >= N w) are together at least
the wanted share of the weights. Which edits stay is decided by a hash of sample id and seed, so it depends
on no order and no number of workers.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate


@dataclass(frozen=True)
class Quota:
    """Of one task: its share in the target, how many edits there are, and how many may stay."""

    target: float
    available: int
    quota: int

    @property
    def kept(self) -> int:
        """How many stay."""
        return min(self.available, self.quota)

    @property
    def is_short(self) -> bool:
        """Whether there are fewer than the target asks for."""
        return self.available < self.quota


def plan_quotas(available: Mapping[str, int], target: Mapping[str, float], met: float) -> dict[str, Quota]:
    """The quotas of the tasks that there are; a task without weight has none to give.

    Args:
        available: edits of each task.
        target: weight of each task.
        met: share of the target, by weight of the tasks that there are, that is met in full.
    """
    # Weights as the recipe writes them, in exact numbers: rounding would cost a task its last edit.
    weights = {task: Fraction(str(target.get(task, 0))) for task, n in sorted(available.items()) if n}
    total = sum(weights.values())
    shares = {task: weight / total if total else weight for task, weight in weights.items()}
    # The size of the mix at which each task runs out.
    ends = sorted(((available[task] / share, share) for task, share in shares.items() if share), reverse=True)
    reached = list(accumulate(share for _, share in ends))
    least = Fraction(str(met))
    size = next((end for (end, _), sum_ in zip(ends, reached, strict=True) if sum_ >= least), Fraction(0))
    return {task: Quota(float(share), available[task], int(size * share)) for task, share in shares.items()}


def choose(ids: Sequence[int], tasks: Sequence[str], quotas: Mapping[str, Quota], seed: int) -> list[bool]:
    """Which edits stay: of each task those with the smallest hash of sample id and seed."""
    order = sorted(range(len(ids)), key=lambda row: (_lot(ids[row], seed), ids[row]))
    taken: Counter[str] = Counter()
    chosen = [False] * len(ids)
    for row in order:
        if taken[tasks[row]] < quotas[tasks[row]].quota:
            chosen[row] = True
            taken[tasks[row]] += 1
    return chosen


def _lot(sample_id: int, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{sample_id}".encode(), digest_size=8).digest()
