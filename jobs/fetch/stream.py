"""Many pictures at once, given in the order in which they are listed, with bounded memory and disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from jobs.fetch.client import Client
from jobs.fetch.outcome import Outcome
from jobs.sources.fetched import Link

HELD_BYTES = 2 << 30
"""Pictures on disk that wait for one before them. Beyond this no more are begun until it comes."""

_AHEAD = 8
"""Links begun but not finished, by connection: while a slow host is waited for, others are asked."""


@dataclass(frozen=True)
class Fetched:
    """A link and what became of it. What was not known before has left what came in a file."""

    link: Link
    outcome: Outcome
    known: bool
    path: Path


async def fetch_in_order(
    client: Client, links: Iterable[Link], known: Callable[[Link], Outcome | None], folder: Path
) -> AsyncIterator[Fetched]:
    """Fetch every link of which nothing is known yet.

    Args:
        client: fetches.
        links: in the order in which they are given.
        known: the outcome of a link that needs no fetching.
        folder: for pictures that wait; whoever takes a picture removes its file.
    """
    slots = asyncio.Semaphore(client.limits.connections * _AHEAD)
    begun: deque[asyncio.Task[Fetched]] = deque()
    held = 0

    async def fetch(number: int, link: Link) -> Fetched:
        nonlocal held
        path = folder / str(number)
        try:
            before = known(link)
            outcome = before or await client.fetch(str(link.url), path)
        finally:
            slots.release()
        held += _size(path)
        return Fetched(link, outcome, before is not None, path)

    try:
        for number, link in enumerate(links):
            await slots.acquire()
            begun.append(asyncio.create_task(fetch(number, link)))
            while begun and (begun[0].done() or held > HELD_BYTES):
                done = await begun.popleft()
                held -= _size(done.path)
                yield done
        while begun:
            yield await begun.popleft()
    finally:
        for task in begun:
            task.cancel()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
