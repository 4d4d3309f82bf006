"""What a job on a cluster says, line by line in its log: messages in Dagster Pipes' format.

One JSON object a line, between whatever else the job prints. The launcher reads them from the job's
log and passes them on to its own reporter; any other reader of Dagster Pipes can read them too.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

from dagster_pipes import (
    PIPES_PROTOCOL_VERSION,
    PIPES_PROTOCOL_VERSION_FIELD,
    PipesMessage,
    PipesStreamMessageWriterChannel,
)

from infra.errors import UserError
from infra.reporter import Reporter


class MessageReporter:
    """A Reporter that writes what it is told as messages to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._channel = PipesStreamMessageWriterChannel(stream)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Send progress."""
        self._send("progress", done=done, total=total, unit=unit)

    def figures(self, step: int, values: dict[str, float]) -> None:
        """Send live measurements."""
        self._send("figures", step=step, values=values)

    def picture(self, name: str, uri: str) -> None:
        """Send where a picture is."""
        self._send("picture", name=name, uri=uri)

    def log(self, message: str) -> None:
        """Send a line of text."""
        self._send("log", message=message)

    def error(self, error: UserError) -> None:
        """Send what a user has to mend; the other side raises it."""
        self._send("error", what=error.what, where=error.where, mend=error.mend)

    def _send(self, kind: str, **content: Any) -> None:
        payload = {"kind": kind, **content}
        message = {
            PIPES_PROTOCOL_VERSION_FIELD: PIPES_PROTOCOL_VERSION,
            "method": "report_custom_message",
            "params": {"payload": payload},
        }
        self._channel.write_message(PipesMessage(**message))  # type: ignore[typeddict-item]
        self._stream.flush()


def deliver(line: str, report: Reporter) -> bool:
    """Pass one line of a log on to a reporter.

    Returns:
        Whether the line was a message; other lines are the job's own prints.

    Raises:
        UserError: the message is one.
    """
    payload = _payload(line)
    if payload is None:
        return False
    kind = payload.pop("kind")
    if kind == "error":
        raise UserError(**payload)
    getattr(report, kind)(**payload)
    return True


def _payload(line: str) -> dict[str, Any] | None:
    if PIPES_PROTOCOL_VERSION_FIELD not in line:
        return None
    try:
        payload = json.loads(line)["params"]["payload"]
    except (ValueError, KeyError, TypeError):
        return None
    known = isinstance(payload, dict) and payload.get("kind") in _KINDS
    return payload if known else None


_KINDS = {"progress", "figures", "picture", "log", "error"}
