"""The ledger of attempts: what kills its worker is found, and nothing else is blamed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.manifest import Output
from jobs.attempts import DEATHS_OF_ONE, Attempts, Span, new_session, units_tried_again


class DeadError(Exception):
    """Stands for the end of a worker's process."""


@dataclass
class Unit:
    """Records 0 to `size` - 1, worked on as extraction works on documents."""

    output: Output
    size: int
    poison: frozenset[int]
    kept: dict[Span, list[int]] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)

    def live(self, session: str, steps: int | None = None) -> list[int]:
        """One life of a worker, which is killed from outside after some records."""
        left = iter(range(steps)) if steps is not None else None
        attempts = Attempts(self.output, "u", session)
        done: list[int] = []
        for span in attempts.spans(Span(0, self.size)):
            if span not in self.kept:
                if attempts.is_hopeless(span):
                    self.given_up.add(span.start)
                    self.kept[span] = []
                else:
                    attempts.begin(span)
                    self.kept[span] = [self._do(record, left) for record in range(span.start, span.end)]
            done += self.kept[span]
        return done

    def _do(self, record: int, left: Iterator[int] | None) -> int:
        if record in self.poison or (left is not None and next(left, None) is None):
            raise DeadError
        return record

    def finish(self, session: str) -> tuple[list[int], int]:
        """Lives until one comes to the end: what it made, and how many died."""
        for deaths in range(1000):
            try:
                return self.live(session), deaths
            except DeadError:
                continue
        raise AssertionError("it goes on for ever")


@contextmanager
def unit(size: int, poison: frozenset[int] = frozenset()) -> Iterator[Unit]:
    folder = mkdtemp()
    try:
        yield Unit(Output(folder), size, poison)
    finally:
        shutil.rmtree(folder)


@settings(max_examples=40)
@given(st.data())
def test_exactly_the_poisonous_records_are_given_up(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    poison = data.draw(st.frozensets(st.integers(0, size - 1), max_size=4))
    with unit(size, poison) as one:
        done, deaths = one.finish(new_session())
        assert done == [record for record in range(size) if record not in poison]
        assert one.given_up == poison
        depth = size.bit_length()
        assert deaths <= len(poison) * (2 * depth + DEATHS_OF_ONE)


@settings(max_examples=40)
@given(st.integers(2, 40), st.lists(st.integers(1, 60), max_size=12))
def test_workers_killed_from_outside_blame_no_record(size: int, kills: list[int]) -> None:
    with unit(size) as one:
        session = new_session()
        for steps in kills:
            try:
                one.live(session, steps)
            except DeadError:
                continue
        # Each life got on by a record at least, so none was killed on the same one three times.
        assert one.finish(session)[0] == list(range(size))
        assert not one.given_up


@given(st.integers(1, 12))
def test_deaths_of_a_session_do_not_count_in_the_next(sessions: int) -> None:
    with unit(1) as one:
        for _ in range(sessions):
            try:
                one.live(new_session(), 0)
            except DeadError:
                continue
        assert one.finish(new_session()) == ([0], 0)
        assert not one.given_up


def test_deaths_of_one_session_do_count() -> None:
    """The control of the test before: were sessions not told apart, its record would be given up."""
    with unit(1) as one:
        session = new_session()
        for _ in range(DEATHS_OF_ONE):
            try:
                one.live(session, 0)
            except DeadError:
                continue
        assert one.finish(session) == ([], 0)
        assert one.given_up == {0}


def test_finished_halves_are_of_use_to_the_next_session() -> None:
    with unit(16, frozenset({12})) as one:
        session = new_session()
        for _ in range(4):
            try:
                one.live(session)
            except DeadError:
                continue
        assert Span(0, 8) in one.kept
        one.poison = frozenset()
        assert one.finish(new_session()) == (list(range(16)), 0)


def test_deaths_while_loading_are_counted_until_something_else_begins(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    for deaths in range(3):
        attempts = Attempts(output, "u", "s")
        assert attempts.deaths_in_a_row("load") == deaths
        attempts.begin("load")
    attempts.begin(Span(0, 4))
    again = Attempts(output, "u", "s")
    assert (again.deaths_in_a_row("load"), again.deaths("load"), again.deaths(Span(0, 4))) == (0, 3, 1)
    assert Attempts(output, "u", "other").deaths_in_a_row("load") == 0
    assert units_tried_again(output) == ["u"]


def test_the_ledger_is_the_same_on_s3(s3_root: str) -> None:
    output = Output(f"{s3_root}/tokens/x")
    for deaths in range(2):
        attempts = Attempts(output, "u", "s")
        assert (attempts.deaths(Span(0, 4)), list(attempts.spans(Span(0, 4)))) == (deaths, [Span(0, 4)])
        attempts.begin(Span(0, 4))
    assert list(Attempts(output, "u", "s").spans(Span(0, 4))) == [Span(0, 2), Span(2, 4)]
    assert list(Attempts(output, "v", "s").spans(Span(0, 4))) == [Span(0, 4)]
    assert units_tried_again(output) == ["u"]


def test_a_unit_that_went_well_was_not_tried_again(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    for name in ("a", "b"):
        attempts = Attempts(output, name, "s")
        attempts.begin("load")
        attempts.begin(Span(0, 4))
    assert units_tried_again(output) == []
