"""What packing plans on: a few numbers per document. Payloads stay in their files until they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt

from infra.document import Family
from infra.manifest import digest

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]

FAMILIES: tuple[str, ...] = get_args(Family)
"""Documents carry the position of their family in this list."""


@dataclass(frozen=True)
class Columns:
    """Documents as parallel arrays. `cost` is in forward FLOPs."""

    ids: Keys
    family: Ints
    tokens: Ints
    cost: Floats

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: npt.NDArray[Any]) -> Self:
        """The documents at positions, or where a mask is true."""
        return type(self)(self.ids[index], self.family[index], self.tokens[index], self.cost[index])


def shuffle_keys(ids: Keys, salt: int | Keys) -> Keys:
    """A key per id; sorting by it shuffles. A pure function of (id, salt), one-to-one in the id.

    A document's key does not depend on the others, so adding data leaves the relative order of the
    rest as it was. The mixing is the finaliser of SplitMix64.
    """
    keys = ids.astype(np.uint64) ^ np.asarray(salt, np.uint64)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def make_salt(seed: int, use: str, repeat: int = 0) -> int:
    """A salt for each use of the recipe's seed, so that one order says nothing about another."""
    return int(digest({"seed": seed, "use": use, "repeat": repeat})[:16], 16)
