"""How much of each subset a mix takes: the largest mix whose shares are as wanted.

Shares are of characters. Which texts are taken is decided by a hash of id and seed, so it depends on no order
and no number of workers.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction


def quotas(available: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, int]:
    """Characters to take of each subset: as many as the scarcest subset allows all.

    Args:
        available: characters there are, by subset.
        weights: wanted shares up to a common factor; a subset without a weight is not taken. Empty: take all.
    """
    if not weights:
        return dict(available)
    # Weights as the recipe writes them, in exact numbers: rounding would cost the scarcest its last texts.
    wanted = {subset: Fraction(str(weights.get(subset, 0))) for subset in available}
    factor = min((available[s] / w for s, w in wanted.items() if w > 0), default=Fraction(0))
    return {subset: int(factor * weight) for subset, weight in wanted.items()}


def choose(
    ids: Sequence[int],
    subsets: Sequence[str],
    characters: Sequence[int],
    limits: Mapping[str, int],
    seed: int,
) -> list[bool]:
    """Which texts are taken: in the order of a hash of id and seed, as long as their subset's quota lasts.

    The text that would exceed a quota is left, and so are all of the subset after it: short texts have no
    better chance than long ones.
    """
    order = sorted(range(len(ids)), key=lambda row: (_lot(ids[row], seed), ids[row]))
    taken: defaultdict[str, int] = defaultdict(int)
    chosen = [False] * len(ids)
    full: set[str] = set()
    for row in order:
        subset = subsets[row]
        if subset in full or taken[subset] + characters[row] > limits.get(subset, 0):
            full.add(subset)
            continue
        taken[subset] += characters[row]
        chosen[row] = True
    return chosen


def _lot(sample_id: int, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/text/{sample_id}".encode(), digest_size=8).digest()
