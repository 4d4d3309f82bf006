"""Which pictures are held out, and which make the batch of a step: pure functions of ids and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

HELD_OUT_SHARE = 0.02
HELD_OUT_LEAST = 16
HELD_OUT_MOST = 256


def hold_out(sample_ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """Split pictures into (training, held out), by number.

    Held out are the smallest ids: an id is a hash, so that is a fair draw that new data hardly changes.
    At least half of a small set is for training.
    """
    wanted = round(HELD_OUT_SHARE * len(sample_ids))
    count = min(max(wanted, HELD_OUT_LEAST), HELD_OUT_MOST, len(sample_ids) // 2)
    by_id = sorted(range(len(sample_ids)), key=lambda number: sample_ids[number])
    return sorted(by_id[count:]), sorted(by_id[:count])


@dataclass(frozen=True)
class BatchOrder:
    """The batches of all epochs. The pictures of a batch share a schedule, so they come in buckets.

    In each epoch every bucket is shuffled and cut into batches; its last batch is filled up from the
    bucket's beginning. Then the batches of all buckets are shuffled.
    """

    buckets: tuple[tuple[int, ...], ...]
    """Numbers of the pictures of each schedule."""
    batch_size: int
    seed: int

    def numbers(self, step: int) -> tuple[int, ...]:
        """The pictures of a step, which counts from 0."""
        per_epoch = sum(-(-len(bucket) // self.batch_size) for bucket in self.buckets)
        epoch, place = divmod(step, per_epoch)
        return _epoch(self, epoch)[place]


@lru_cache(maxsize=2)
def _epoch(order: BatchOrder, epoch: int) -> list[tuple[int, ...]]:
    rng = np.random.default_rng([order.seed, epoch])
    batches = []
    for bucket in order.buckets:
        shuffled = rng.permutation(bucket)
        for start in range(0, len(bucket), order.batch_size):
            places = np.arange(start, start + order.batch_size) % len(bucket)
            batches.append(tuple(int(number) for number in shuffled[places]))
    return [batches[i] for i in rng.permutation(len(batches))]
