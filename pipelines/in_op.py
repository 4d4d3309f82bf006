"""Our work inside a Dagster op: progress becomes log lines, what a user has to mend becomes one line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from infra.errors import UserError
from infra.reporter import SilentReporter

SECONDS = 10.0
"""Between two lines about one job's progress."""


class RunLog(SilentReporter):
    """Reports a job into the log of a run; figures and pictures are shown elsewhere."""

    def __init__(self, log: dg.DagsterLogManager, name: str) -> None:
        self._log = log
        self._name = name
        self._spoke = time.monotonic()
        self.log("started")

    def progress(self, done: int, total: int, unit: str) -> None:
        """Say how far the job is, now and then."""
        if time.monotonic() - self._spoke >= SECONDS:
            self._spoke = time.monotonic()
            self.log(f"{done} of {total} {unit}")

    def log(self, message: str) -> None:
        """Say it at once."""
        self._log.info(f"{self._name}: {message}")


@contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Fail the run with what a `UserError` says, and do not try again.

    Raises:
        dg.Failure: in place of the `UserError`.
    """
    try:
        yield
    except UserError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
