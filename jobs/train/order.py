"""Which packs a process trains on at a step: a pure function, so a loader's state is one integer.

Epochs are shuffles of all packs laid end to end; step s takes the next `packs_per_step` of them and
each process a run of these. So the packs of a step do not depend on how many processes share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Slot:
    """A pack to train on, and the epoch it is read in."""

    epoch: int
    pack: int


@dataclass(frozen=True)
class PackOrder:
    """The order of `packs` packs over all epochs.

    Raises:
        ValueError: nothing to order, or a step that cannot be shared evenly.
    """

    packs: int
    packs_per_step: int
    world: int
    seed: int

    def __post_init__(self) -> None:
        if self.packs < 1 or self.world < 1 or self.packs_per_step % self.world:
            raise ValueError(f"{self.packs_per_step} of {self.packs} packs cannot be shared by {self.world}")

    def slots(self, step: int, rank: int) -> list[Slot]:
        """What process `rank` reads at `step`, which counts from 0."""
        share = self.packs_per_step // self.world
        first = step * self.packs_per_step + rank * share
        return [self._slot(position) for position in range(first, first + share)]

    def _slot(self, position: int) -> Slot:
        epoch, place = divmod(position, self.packs)
        return Slot(epoch, int(_shuffle(self.packs, self.seed, epoch)[place]))


@lru_cache(maxsize=2)
def _shuffle(packs: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(packs)
