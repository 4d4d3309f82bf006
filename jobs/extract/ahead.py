"""Work done ahead of its consumer by a few threads, in order, bounded in number and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = 4
MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Load:
    """How much memory an item holds from when its work begins until its result is taken."""

    pictures: int
    bytes: int


def ahead(
    items: Iterable[T], work: Callable[[T], R], load: Callable[[T], Load], most_pictures: int
) -> Iterator[R]:
    """Results of `work` in the order of `items`, however long each takes.

    Args:
        work: runs in threads and must not raise.
        load: what an item weighs; one that is beyond the bounds alone is worked on alone.
        most_pictures: 0 works on each item only when it is asked for.
    """
    if most_pictures == 0:
        yield from map(work, items)
        return
    waiting: deque[tuple[Future[R], Load]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for item in items:
            own = load(item)
            while waiting and not _fits(own, waiting, most_pictures):
                yield waiting.popleft()[0].result()
            waiting.append((pool.submit(work, item), own))
        while waiting:
            yield waiting.popleft()[0].result()


def _fits(own: Load, waiting: Iterable[tuple[object, Load]], most_pictures: int) -> bool:
    loads = [own, *(load for _, load in waiting)]
    return (
        sum(load.pictures for load in loads) <= most_pictures
        and sum(load.bytes for load in loads) <= MOST_BYTES
    )
