"""Attempts at units of work, written down before they begin, so that what kills its worker is found.

Ray starts a dead worker again and gives it the same unit, as often as it dies. So a unit is worked on in
spans of its records: a span whose worker died repeatedly is cut in halves, down to the one record that does
it, and that one is given up after a few deaths of its own.

    attempts/<unit>/<session>/<number>-<what>.json    published before the work on <what> begins

A session is one run of the driver. Only what began in the same session counts as a death: if the driver is
there to give the unit out again, it was the worker that died, and not the machine or the whole run. Attempts
are history: they lie beside what is published, and no published byte depends on them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import NoReturn

from infra import storage
from infra.manifest import Output

DEATHS_OF_MANY = 2
"""Deaths after which a span of several records is cut in halves."""

DEATHS_OF_ONE = 3
"""Deaths after which one record is given up."""

_FOLDER = "attempts"
_NAME = re.compile(r"(?P<number>\d+)-(?P<what>.+)\.json")
_SPAN = re.compile(r"(?P<start>\d+)-(?P<end>\d+)")


@dataclass(frozen=True)
class Span:
    """Records `start` to `end` - 1 of a unit."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start:08d}-{self.end:08d}"

    def halves(self) -> tuple[Span, Span]:
        """The span cut in the middle."""
        middle = (self.start + self.end) // 2
        return Span(self.start, middle), Span(middle, self.end)

    def has_within(self, other: Span) -> bool:
        """Whether another, smaller span lies in this one."""
        return self.start <= other.start and other.end <= self.end and len(other) < len(self)


def new_session() -> str:
    """A name for a run of the driver that no other run has."""
    return secrets.token_hex(8)


def die() -> NoReturn:
    """End this worker as the kernel ends one where memory runs out.

    For errors that may say nothing about a record: it is tried again, in the end alone, by a new worker.
    """
    os._exit(1)


class Attempts:
    """What was begun of one unit before the worker that reads this began."""

    def __init__(self, output: Output, unit: str, session: str) -> None:
        self._place = storage.join(output.uri, _FOLDER, unit)
        self._session = session
        listed = list(_listed(self._place))
        self._begun = [what for one, what in listed if one == session]
        self._narrowest = [span for _, what in listed if (span := _as_span(what))]

    def begin(self, what: Span | str) -> None:
        """Write down that work on a span, or on something else that can kill, begins now."""
        name = f"{len(self._begun):06d}-{what}.json"
        self._begun.append(str(what))
        about = json.dumps({"host": platform.node(), "process": os.getpid()}, sort_keys=True)
        storage.publish_bytes(storage.join(self._place, self._session, name), about.encode())

    def deaths(self, what: Span | str) -> int:
        """How often a worker of this session began with this and did not come to its end."""
        return self._begun.count(str(what))

    def deaths_in_a_row(self, what: str) -> int:
        """How often the last workers of this session began with this and came no further."""
        return len(list(takewhile(lambda begun: begun == what, reversed(self._begun))))

    def spans(self, whole: Span) -> Iterator[Span]:
        """The spans, in order, in which the records are to be worked on."""
        if len(whole) > 1 and self.is_cut(whole):
            for half in whole.halves():
                yield from self.spans(half)
        else:
            yield whole

    def is_hopeless(self, span: Span) -> bool:
        """Whether a span is one record that killed its workers."""
        return len(span) == 1 and self.deaths(span) >= DEATHS_OF_ONE

    def is_cut(self, span: Span) -> bool:
        """A span that any session cut stays cut, so that halves that are finished are of use."""
        return self.deaths(span) >= DEATHS_OF_MANY or any(map(span.has_within, self._narrowest))


def units_tried_again(output: Output) -> list[str]:
    """Units with something that was begun more than once, in all sessions together."""
    place = storage.join(output.uri, _FOLDER)
    begun: Counter[tuple[str, str]] = Counter()
    for path in _paths(place):
        unit, _, name = path.split("/")
        if found := _NAME.fullmatch(name):
            begun[unit, found["what"]] += 1
    return sorted({unit for (unit, _), times in begun.items() if times > 1})


def _listed(place: str) -> Iterator[tuple[str, str]]:
    """Session and subject of each attempt at a unit, in order within a session."""
    for path in _paths(place):
        session, _, name = path.rpartition("/")
        if found := _NAME.fullmatch(name):
            yield session, found["what"]


def _paths(place: str) -> list[str]:
    return [file.uri[len(place) + 1 :] for file in storage.list_files(place)]


def _as_span(what: str) -> Span | None:
    found = _SPAN.fullmatch(what)
    return Span(int(found["start"]), int(found["end"])) if found else None
