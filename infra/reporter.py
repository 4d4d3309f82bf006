"""How a job tells the people who wait: progress, figures, pictures, messages.

A job calls these as often as it likes; the reporter decides what to show and how often. Nothing a
reporter does changes what a job makes.
"""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Where a job's progress goes."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """`done` of `total` units (`records`, `pictures`, `steps`) are finished."""

    def figures(self, step: int, values: dict[str, float]) -> None:
        """Live measurements at a step, such as a loss per scale or tokens per second."""

    def picture(self, name: str, uri: str) -> None:
        """A PNG was stored at `uri`."""

    def log(self, message: str) -> None:
        """One line of text."""


class SilentReporter:
    """Shows nothing; for tests and for jobs called as plain functions."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Ignore."""

    def figures(self, step: int, values: dict[str, float]) -> None:
        """Ignore."""

    def picture(self, name: str, uri: str) -> None:
        """Ignore."""

    def log(self, message: str) -> None:
        """Ignore."""
