"""What a pack may hold, and what every packer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.pack.columns import Columns, Floats, Ints


@dataclass(frozen=True)
class Limits:
    """What one pack may hold: positions, and forward FLOPs. Both are hard."""

    tokens: int
    cost: float


Packer = Callable[[Columns, Limits], Ints]
"""Documents in order, each within the limits alone -> the number of the pack that each is in, from 0."""


def require_fit(documents: Columns, limits: Limits) -> None:
    """Refuse documents that no pack can hold.

    Raises:
        ValueError: a document alone exceeds a limit.
    """
    beyond = np.flatnonzero((documents.tokens > limits.tokens) | (documents.cost > limits.cost))
    if len(beyond):
        raise ValueError(f"document {beyond[0]} alone exceeds the limits of a pack")


def lower_bound(tokens: Ints | int, cost: Floats | float, limits: Limits) -> int:
    """Packs needed at least for so many tokens and FLOPs in all, where both limits are obeyed."""
    by_tokens = np.ceil(np.sum(tokens) / limits.tokens)
    # The sum is rounded: what fills packs exactly needs no further one.
    return int(max(by_tokens, np.ceil(np.sum(cost) / limits.cost * (1 - 1e-12))))


def next_fit(sizes: list[npt.NDArray[np.float64]], caps: list[float]) -> Ints:
    """Fill a pack in order and close it at the first document that would break a cap.

    Args:
        sizes: of the documents, by each measure; none is above its cap.
        caps: of a pack, by each measure.
    """
    count = len(sizes[0])
    sums = [np.concatenate([[0.0], np.cumsum(size)]) for size in sizes]
    pack, start, number = np.empty(count, np.int64), 0, 0
    while start < count:
        ends = [
            np.searchsorted(total, total[start] + cap * (1 + 1e-12), side="right") - 1
            for total, cap in zip(sums, caps, strict=True)
        ]
        end = max(start + 1, int(min(ends)))
        pack[start:end] = number
        start, number = end, number + 1
    return pack
