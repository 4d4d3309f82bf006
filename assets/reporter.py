"""Progress of a job as Dagster events: log lines, and observations that the UI plots while it runs."""

from __future__ import annotations

import threading
import time
from typing import Any

import dagster as dg

from assets.metadata import picture_markdown
from infra.reporter import Reporter

SECONDS = 2.0
"""Between two events of one kind. A job may report a thousand times a second."""


class DagsterReporter:
    """Reports to a running Dagster step; passes everything on to a second reporter, unthrottled."""

    def __init__(self, context: dg.AssetExecutionContext, watch: Reporter) -> None:
        self._context = context
        self._watch = watch
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._waiting: dict[str, Any] | None = None

    def progress(self, done: int, total: int, unit: str) -> None:
        """Log how far the job is, now and then and at the end."""
        self._watch.progress(done, total, unit)
        with self._lock:
            if done == total or self._due("progress"):
                self._context.log.info(f"{done} of {total} {unit}")

    def figures(self, step: int, values: dict[str, float]) -> None:
        """Record an observation with the figures; the UI draws each as a line."""
        self._watch.figures(step, values)
        with self._lock:
            self._waiting = {"step": step, **values}
            if self._due("figures"):
                self._observe_waiting()

    def picture(self, name: str, uri: str) -> None:
        """Record an observation with the picture inside."""
        self._watch.picture(name, uri)
        with self._lock:
            self._observe({f"picture: {name}": picture_markdown(name, uri)})

    def log(self, message: str) -> None:
        """Log a line."""
        self._watch.log(message)
        with self._lock:
            self._context.log.info(message)

    def close(self) -> None:
        """Record the last figures, if they were held back."""
        with self._lock:
            self._observe_waiting()

    def _observe_waiting(self) -> None:
        if self._waiting is not None:
            self._observe(self._waiting)
            self._waiting = None

    def _observe(self, metadata: dict[str, Any]) -> None:
        partition = self._context.partition_key if self._context.has_partition_key else None
        key = self._context.asset_key
        self._context.log_event(dg.AssetObservation(key, partition=partition, metadata=metadata))

    def _due(self, kind: str) -> bool:
        now = time.monotonic()
        if now - self._last.get(kind, -SECONDS) < SECONDS:
            return False
        self._last[kind] = now
        return True
