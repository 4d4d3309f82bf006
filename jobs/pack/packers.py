"""Packers: from documents in order to packs under two caps.

Every packer is one function of the same shape, so that strategies can be compared on the same data.
Cost model and caps: design of the paper's section 4.3, "fixed computational budget".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jobs.pack.columns import Columns, Ints


@dataclass(frozen=True)
class Limits:
    """What one pack may hold. Both are hard."""

    tokens: int
    flops: float


Packer = Callable[[Columns, Limits], list[Ints]]
"""Documents in order, each within the limits alone -> positions of the documents of each pack."""


def next_fit(documents: Columns, limits: Limits) -> list[Ints]:
    """Fill a pack in order and close it at the first document that would break a cap.

    Linear time, one pack in memory; keeps the order, so packs hold what the shuffle put together.

    Raises:
        ValueError: a document alone exceeds a limit.
    """
    packs: list[Ints] = []
    start, tokens, flops = 0, 0, 0.0
    pairs = zip(documents.tokens.tolist(), documents.flops.tolist(), strict=True)
    for position, (more_tokens, more_flops) in enumerate(pairs):
        if more_tokens > limits.tokens or more_flops > limits.flops:
            raise ValueError(f"document {position} exceeds the limits of a pack")
        if tokens + more_tokens > limits.tokens or flops + more_flops > limits.flops:
            packs.append(np.arange(start, position))
            start, tokens, flops = position, 0, 0.0
        tokens += more_tokens
        flops += more_flops
    return [*packs, np.arange(start, len(documents))] if len(documents) else []
