"""Which pictures make the batch of a step: a pure function of captions, size and seed.

To the sigmoid loss every other caption of a batch is wrong for a picture, so no caption stands in a
batch twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import numpy as np


def batches(captions: Sequence[str], size: int, seed: int) -> Iterator[list[int]]:
    """Batches of picture numbers without end, epoch after epoch, each shuffled anew.

    A picture whose caption is in the batch already waits for the next one. An epoch ends where those left
    have too few captions to fill a batch.

    Raises:
        ValueError: there are fewer different captions than a batch has pictures.
    """
    different = len(set(captions))
    if different < size:
        raise ValueError(f"{different} different captions do not fill a batch of {size}")
    for epoch in count():
        order = np.random.default_rng([seed, epoch]).permutation(len(captions))
        yield from _epoch(order.tolist(), captions, size)


def _epoch(order: Iterable[int], captions: Sequence[str], size: int) -> Iterator[list[int]]:
    waiting = deque(order)
    while True:
        batch: dict[str, int] = {}
        passed: list[int] = []
        while waiting and len(batch) < size:
            number = waiting.popleft()
            if captions[number] in batch:
                passed.append(number)
            else:
                batch[captions[number]] = number
        if len(batch) < size:
            return
        waiting.extendleft(reversed(passed))
        yield list(batch.values())
