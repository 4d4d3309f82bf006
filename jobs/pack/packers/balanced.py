"""Balanced packing: as many packs as needed, all of nearly the same compute, none above a limit.

The rule is that of Graham's LPT (largest processing time first): the most expensive document goes into
the cheapest pack that has room for its tokens and its compute. It is carried out in waves: the packs
that are cheaper than the cheapest one will be after its next document are next in turn anyway, so all
of them are served at once. What fits nowhere is tried again with more packs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jobs.pack.columns import Columns, Floats, Ints
from jobs.pack.packers.limits import Limits, lower_bound, require_fit
from jobs.pack.sorting import order_of_numbers

COST_SHARE = 0.999
"""Of the compute budget, what packs hold on average at most: the room in which they differ."""
TOKEN_SHARE = 0.98
"""Of the token cap, what packs hold on average at most: documents are too coarse to use all."""
ATTEMPTS = 6
"""With how many packs it is tried before what is left goes into packs of its own."""


def balanced(documents: Columns, limits: Limits) -> Ints:
    """Level the packs' compute.

    Raises:
        ValueError: a document alone exceeds a limit.
    """
    require_fit(documents, limits)
    pack = np.full(len(documents), -1)
    waiting = np.arange(len(documents))
    while len(waiting):
        found = _fill(documents.take(waiting), limits)
        pack[waiting[found >= 0]] = pack.max(initial=-1) + 1 + found[found >= 0]
        waiting = waiting[found < 0]
    used = np.bincount(pack) > 0
    numbered: Ints = (np.cumsum(used) - 1)[pack]
    return numbered


def _fill(documents: Columns, limits: Limits) -> Ints:
    """The pack of each document, -1 where the last attempt left it over."""
    aim = Limits(max(1, int(TOKEN_SHARE * limits.tokens)), COST_SHARE * limits.cost)
    packs = max(1, lower_bound(documents.tokens, documents.cost, aim))
    for _ in range(ATTEMPTS):
        pack = _Waves(documents, limits, packs).run()
        left = documents.take(pack < 0)
        if not len(left):
            break
        packs += lower_bound(left.tokens, left.cost, limits)
    return pack


class _Waves:
    """One attempt with a number of packs."""

    def __init__(self, documents: Columns, limits: Limits, packs: int) -> None:
        self._tokens, self._cost = documents.tokens, documents.cost
        self._limits = limits
        self._room = np.full(packs, limits.tokens)
        self._load = np.zeros(packs)
        self._order = np.arange(packs)
        self._pack = np.full(len(documents), -1)

    def run(self) -> Ints:
        """The pack of each document, -1 where it fits none."""
        queue = order_of_numbers(-self._cost)
        position, again = 0, queue[:0]
        while position < len(queue) or len(again):
            # One document a pack is the most that a wave serves.
            nearest = queue[position : position + len(self._order) - len(again)]
            position += len(nearest)
            again = self._wave(np.concatenate([again, nearest]))
        return self._pack

    def _wave(self, ahead: Ints) -> Ints:
        """Serve the packs that are next in turn; the documents that still wait, in order."""
        order = self._order = self._order[order_of_numbers(self._load[self._order])]
        first = ahead[0]
        open_ = order[self._fits(first, order)]
        if not len(open_):
            return ahead[1:][self._fits_somewhere(ahead[1:])]
        in_turn = np.searchsorted(self._load[open_], self._load[open_[0]] + self._cost[first])
        count = min(max(1, int(in_turn)), len(ahead))
        served, packs = ahead[:count], open_[:count]
        fits = self._fits(served, packs)
        self._put(served[fits], packs[fits])
        return np.concatenate([served[~fits], ahead[count:]])

    def _fits(self, documents: Ints | np.int64, packs: Ints) -> npt.NDArray[np.bool_]:
        """Whether each pack has room for its document."""
        enough = self._load[packs] + self._cost[documents] <= self._limits.cost
        return enough & (self._room[packs] >= self._tokens[documents])

    def _fits_somewhere(self, documents: Ints) -> npt.NDArray[np.bool_]:
        """Whether any pack has room. Packs only fill, so a document without will never have any."""
        room = np.maximum.accumulate(self._room[self._order])
        loads: Floats = self._load[self._order]
        cheap = np.searchsorted(loads, self._limits.cost - self._cost[documents], side="right")
        return (cheap > 0) & (room[cheap - 1] >= self._tokens[documents])

    def _put(self, documents: Ints, packs: Ints) -> None:
        self._pack[documents] = packs
        self._room[packs] -= self._tokens[documents]
        self._load[packs] += self._cost[documents]
