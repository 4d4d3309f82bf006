"""Mixture weights: each family's share of the tokens. The scarcest family sets how much can be used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jobs.pack.columns import Columns


def cost_per_token(documents: Columns, mixture: dict[str, float]) -> float:
    """FLOPs of an average token of the mixture; 0 without documents."""
    total = sum(mixture.values())
    cost = 0.0
    for family, weight in mixture.items():
        mine = documents.take(documents.family == family)
        if len(mine):
            cost += weight / total * float(mine.flops.sum()) / float(mine.tokens.sum())
    return cost


def surplus(
    documents: Columns,
    keys: npt.NDArray[np.uint64],
    usable: npt.NDArray[np.bool_],
    mixture: dict[str, float],
) -> npt.NDArray[np.bool_]:
    """The usable documents to leave out so that the families' shares of the tokens are the mixture's.

    Each family keeps its first documents in the order of `keys`. With one family nothing is left out.
    """
    chosen = {f: np.flatnonzero(usable & (documents.family == f)) for f in mixture}
    room = min(documents.tokens[rows].sum() / mixture[f] for f, rows in chosen.items())
    left_out = usable.copy()
    for family, rows in chosen.items():
        ordered = rows[np.argsort(keys[rows])]
        used = np.cumsum(documents.tokens[ordered])
        # Half a token of slack absorbs the rounding of the division above.
        left_out[ordered[used <= mixture[family] * room + 0.5]] = False
    return left_out
