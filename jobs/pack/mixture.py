"""Mixture weights: each family's share of the tokens. The scarcest family sets how much can be used.

Families are cut in the order of their documents' cut keys, which has nothing to do with windows or
files, so the cut is what sorting all documents in memory would give. A family that may repeat is used
whole as often as needed, and its first documents once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.pack.columns import FAMILIES, Ints, Keys
from jobs.pack.measure import RANGES, read_range, read_sums
from jobs.pack.records import DOCUMENT, Records, join
from jobs.pack.steps import Context


@dataclass(frozen=True)
class Cut:
    """How much of a family is used: each document `copies` times, once more where its cut key is below."""

    copies: int = 0
    below: int = 0


def wanted_tokens(
    available: Mapping[str, int], mixture: Mapping[str, float], repeats: Mapping[str, int]
) -> dict[str, float]:
    """Tokens to use of each family: as many as the scarcest allows, in the mixture's proportions."""
    room = min(available[family] * repeats.get(family, 1) / weight for family, weight in mixture.items())
    return {family: weight * room for family, weight in mixture.items()}


def cost_per_token(sums: Mapping[str, Mapping[str, float]], mixture: Mapping[str, float]) -> float:
    """FLOPs of an average token of the mixture, from each family's tokens and cost."""
    total = sum(mixture.values())
    means = {family: sums[family]["cost"] / sums[family]["tokens"] for family in mixture}
    return sum(weight / total * means[family] for family, weight in mixture.items())


def available_tokens(context: Context) -> dict[str, Ints]:
    """Usable tokens of each family, by range of cut keys."""
    total = np.zeros((len(FAMILIES), RANGES), np.int64)
    for window in range(context.windows):
        total += read_sums(context, window)
    return dict(zip(FAMILIES, total, strict=True))


def make_cuts(
    context: Context, available: Mapping[str, Ints], wanted: Mapping[str, float]
) -> tuple[Cut, ...]:
    """The cut of every family, in the order of FAMILIES."""
    return tuple(_cut(context, family, available[family], wanted.get(family, 0.0)) for family in FAMILIES)


def copies_of(documents: Records, keys: Keys, cuts: Sequence[Cut]) -> Ints:
    """How many times each usable document is packed."""
    copies = np.array([cut.copies for cut in cuts])[documents["family"]]
    below = np.array([cut.below for cut in cuts], np.uint64)[documents["family"]]
    return np.where(documents["reason"] == 0, copies + (keys < below), 0)


def _cut(context: Context, family: str, tokens: Ints, wanted: float) -> Cut:
    total = int(tokens.sum())
    if not total:
        return Cut()
    # Half a token of slack absorbs the rounding of what is wanted.
    copies, rest = divmod(wanted + 0.5, total)
    number = int(np.searchsorted(np.cumsum(tokens), rest, side="right"))
    before = int(tokens[:number].sum())
    return Cut(int(copies), _first_beyond(context, FAMILIES.index(family), number, rest - before))


def _first_beyond(context: Context, family: int, number: int, rest: float) -> int:
    """The cut key of the first document of a range that is beyond the rest of the wanted tokens."""
    parts = (read_range(context, window, family, number) for window in range(context.windows))
    documents = join(parts, DOCUMENT)
    keys = context.cut_keys(documents["id"])
    order = np.argsort(keys)
    beyond = np.cumsum(documents["tokens"][order], dtype=np.int64) > rest
    return int(keys[order][np.argmax(beyond)])
