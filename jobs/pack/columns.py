"""What packing plans on: a few numbers per document. Payloads stay in their files until they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Documents as parallel arrays. `file` and `row` say where a document's payload is."""

    ids: npt.NDArray[np.uint64]
    family: npt.NDArray[np.str_]
    tokens: Ints
    flops: npt.NDArray[np.float64]
    file: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: npt.NDArray[np.int64 | np.bool_]) -> Self:
        """The documents at positions, or where a mask is true."""
        return type(self)(
            ids=self.ids[index],
            family=self.family[index],
            tokens=self.tokens[index],
            flops=self.flops[index],
            file=self.file[index],
            row=self.row[index],
        )

    def by_id(self) -> Self:
        """The same documents ordered by id, so that the order of the input files does not matter."""
        return self.take(np.lexsort((self.row, self.file, self.ids)))


def shuffle_keys(ids: npt.NDArray[np.uint64], salt: int) -> npt.NDArray[np.uint64]:
    """A key per id; sorting by it shuffles. A pure function of (id, salt), one-to-one in the id.

    A document's key does not depend on the others, so adding data leaves the relative order of the
    rest as it was. The mixing is the finaliser of SplitMix64.
    """
    keys = ids.astype(np.uint64) ^ np.uint64(salt % 2**64)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
