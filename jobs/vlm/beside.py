"""An event loop that runs beside its caller."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager


@contextmanager
def loop_beside(close: Callable[[], Awaitable[None]]) -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own, which ends with `close`; what is unfinished then is cancelled.

    The thread does not keep the process alive: a caller that fails may leave its iterator, and this context
    with it, behind without an end.
    """
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        end = asyncio.Event()
        running.set_result((asyncio.get_running_loop(), end))
        await end.wait()
        await close()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="vlm requests", daemon=True)
    thread.start()
    loop, end = running.result()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(end.set)
        if not sys.is_finalizing():  # then no thread of this kind runs any more
            thread.join()
