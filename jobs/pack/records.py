"""The records that the steps of packing hand on: fixed numpy types, little-endian, 32 bytes or less."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.pack.columns import FAMILIES, Columns, Floats, Ints

Records = npt.NDArray[Any]

DOCUMENT = np.dtype(
    [
        ("id", "<u8"),
        ("pairs", "<i8"),
        ("tokens", "<i4"),
        ("file", "<i4"),  # number of its token file
        ("row", "<i4"),  # in that file
        ("family", "u1"),  # position in FAMILIES
        ("reason", "u1"),  # position in REASONS
    ]
)
"""A document: what planning needs to know of it."""

PLACE = np.dtype([("file", "<i4"), ("row", "<i4"), ("pack", "<i4"), ("place", "<i4"), ("repeat", "<i4")])
"""One time that a pack holds a document."""

SUMMARY = np.dtype([("cost", "<f8"), ("documents", "<i4"), ("tokens", "<i4", (len(FAMILIES),))])
"""A pack: its cost, and its documents' tokens by family."""

REASONS = ("", "duplicate", "empty", "over_token_cap", "over_budget", "over_mixture", "forgotten")
"""Why a document is in no pack; the first is for those that are in one."""


def reason_code(reason: str) -> int:
    """How a record says a reason."""
    return REASONS.index(reason)


def join(parts: Iterable[Records], dtype: np.dtype[Any]) -> Records:
    """All records of the parts, in order."""
    return np.concatenate([np.empty(0, dtype), *parts])


class Cost:
    """The cost model as two numbers, for workers that need no torch: F = per_position * T + per_pair * P."""

    def __init__(self, per_position: float, per_pair: float) -> None:
        self.per_position = per_position
        self.per_pair = per_pair

    def of(self, tokens: Ints, pairs: Ints) -> Floats:
        """Forward FLOPs of documents."""
        return self.per_position * tokens + self.per_pair * pairs

    def columns(self, documents: Records) -> Columns:
        """Records as what packers see."""
        tokens = documents["tokens"].astype(np.int64)
        cost = self.of(tokens, documents["pairs"])
        return Columns(documents["id"], documents["family"].astype(np.int64), tokens, cost)
