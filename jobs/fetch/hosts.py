"""Politeness and patience: few connections to one host, none while it asks for a pause, an end to trying."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.fetch.outcome import TroubleError

MAX_WAIT = 120.0
"""Seconds beyond which a host that asks for patience is left to a later round, all of its URLs."""

MAX_FAILURES = 100
"""Failures in a row, without one answer between them, after which a host is left to a later round, too."""


class Hosts:
    """Turns of asking hosts, in one event loop."""

    def __init__(self, connections: int, per_host: int) -> None:
        self._connections = asyncio.Semaphore(connections)
        self._per_host = per_host
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._ready_at: dict[str, float] = {}
        self._failures: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Hold one of the host's connections, once it is our turn.

        Raises:
            TroubleError: the host is left to a later round.
        """
        slots = self._hosts.setdefault(host, asyncio.Semaphore(self._per_host))
        # The host first: waiting for a slow one must not take the place of others.
        async with slots:
            while (wait := self._wait(host)) > 0:
                await asyncio.sleep(wait)
            async with self._connections:
                yield

    def answered(self, host: str, asks_for: float = 0.0) -> None:
        """The host answered, and asks for so many seconds without a request."""
        self._failures[host] = 0
        ready_at = asyncio.get_running_loop().time() + asks_for
        self._ready_at[host] = max(
            math.inf if asks_for > MAX_WAIT else ready_at, self._ready_at.get(host, 0.0)
        )

    def failed(self, host: str) -> None:
        """Nothing came from the host."""
        self._failures[host] += 1

    def _wait(self, host: str) -> float:
        if self._failures[host] >= MAX_FAILURES:
            raise TroubleError("host_down", f"{MAX_FAILURES} failures in a row", wait=math.inf, asked=False)
        wait = self._ready_at.get(host, 0.0) - asyncio.get_running_loop().time()
        if math.isinf(wait):
            raise TroubleError("busy", "the host asks for more patience", wait=math.inf, asked=False)
        return wait
