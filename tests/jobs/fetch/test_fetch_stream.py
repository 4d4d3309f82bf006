"""Many links at once come back in order, and no more wait than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.fetch import stream
from jobs.fetch.client import Client
from jobs.fetch.outcome import Outcome
from jobs.fetch.stream import Fetched, fetch_in_order
from jobs.recipe.sources import Fetch
from jobs.sources.fetched import Link


def fetch(
    links: list[Link],
    limits: Fetch,
    folder: Path,
    known: Callable[[Link], Outcome | None] = lambda link: None,
) -> list[tuple[Fetched, int]]:
    """What came, in the order in which it came, each with the files that waited then."""

    async def run() -> list[tuple[Fetched, int]]:
        found = []
        async with Client(limits) as client:
            async for one in fetch_in_order(client, links, known, folder):
                found.append((one, len(list(folder.iterdir()))))
                one.path.unlink(missing_ok=True)
        return found

    return asyncio.run(run())


def test_links_come_back_in_their_order(server: Any, limits: Callable[..., Fetch], tmp_path: Path) -> None:
    paths = ["/slow/0", "/picture/1", "/hiccup", "/picture/2", "/status/404", "/picture/3"]
    links = [Link(path, server.url(path)) for path in paths]
    found = fetch(links, limits(timeout=20), tmp_path)
    assert [one.link.source for one, _ in found] == paths
    assert [one.outcome.status for one, _ in found] == ["kept"] * 4 + ["rejected", "kept"]
    assert not list(tmp_path.iterdir()), "whoever takes a picture removes it"


def test_what_is_known_is_not_asked_for(server: Any, limits: Callable[..., Fetch], tmp_path: Path) -> None:
    links = [Link(str(number), server.url(f"/picture/{number}")) for number in range(6)]
    before = Outcome("rejected", "gone")
    found = fetch(links, limits(), tmp_path, lambda link: before if int(link.source) % 2 else None)
    assert [one.known for one, _ in found] == [False, True] * 3
    assert sorted(server.requests) == ["/picture/0", "/picture/2", "/picture/4"]


@pytest.mark.parametrize(("room", "timeout", "waits"), [(1, 0.8, False), (1 << 30, 20, True)])
def test_pictures_that_wait_for_a_slow_one_have_bounded_room(
    server: Any,
    limits: Callable[..., Fetch],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    timeout: float,
    waits: bool,
) -> None:
    """The first picture comes after all others are asked for; with little room they never are."""
    monkeypatch.setattr(stream, "HELD_BYTES", room)
    monkeypatch.setattr(stream, "_AHEAD", 2)
    links = [Link(str(n), server.url(f"/picture/{n}" if n else "/last/40")) for n in range(40)]
    found = fetch(links, limits(connections=2, per_host=2, attempts=1, timeout=timeout), tmp_path)
    assert len(found) == 40
    assert (max(waiting for _, waiting in found) > 20) is waits
    assert (found[0][0].outcome.status == "kept") is waits
