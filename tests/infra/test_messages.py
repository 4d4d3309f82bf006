"""What a job writes to its log arrives at the reporter on the other side, and nothing else does."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from infra.messages import MessageReporter, deliver
from infra.reporter import SilentReporter


class Recorder(SilentReporter):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def progress(self, done: int, total: int, unit: str) -> None:
        self.calls.append((done, total, unit))

    def figures(self, step: int, values: dict[str, float]) -> None:
        self.calls.append((step, values))

    def picture(self, name: str, uri: str) -> None:
        self.calls.append((name, uri))

    def log(self, message: str) -> None:
        self.calls.append((message,))


@given(st.text(), st.integers(0, 9), st.floats(allow_nan=False))
def test_what_is_sent_arrives(text: str, number: int, value: float) -> None:
    stream, heard = io.StringIO(newline=""), Recorder()
    sender = MessageReporter(stream)
    sender.progress(number, 9, text)
    sender.figures(number, {text: value})
    sender.picture(text, text)
    sender.log(text)
    lines = stream.getvalue().split("\n")[:-1]
    assert len(lines) == 4, "one line each, whatever the text"
    assert all(deliver(line, heard) for line in lines)
    assert heard.calls == [(number, 9, text), (number, {text: value}), (text, text), (text,)]


def test_an_error_is_raised_again() -> None:
    stream = io.StringIO()
    MessageReporter(stream).error(UserError("no", "here", "do that"))
    with pytest.raises(UserError, match=r"here: no\. do that"):
        deliver(stream.getvalue(), SilentReporter())


@given(st.text())
def test_a_jobs_own_prints_are_no_messages(line: str) -> None:
    heard = Recorder()
    assert not deliver(line, heard)
    assert heard.calls == []


def test_damaged_and_foreign_messages_are_no_messages() -> None:
    stream = io.StringIO()
    MessageReporter(stream).log("hello")
    line = stream.getvalue()
    foreign = json.dumps(json.loads(line) | {"params": {"payload": {"kind": "close"}}})
    assert not deliver(line[:-10], SilentReporter())
    assert not deliver(foreign, SilentReporter())
