"""Blocking checks: what must hold of a published output before anything downstream uses it.

A check reads the published files, never the job's memory, and can fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from infra import storage
from infra.manifest import Manifest, read_manifest, read_table


@dataclass(frozen=True)
class Published:
    """An output as its checks see it."""

    folder: str
    manifest: Manifest
    inputs: dict[str, list[str]]
    """Folders of the inputs, by asset key."""
    settings: Any
    """The job's settings, of the type in jobs.specs."""
    records_from: tuple[str, ...] = ()
    """Inputs whose kept records the output accounts for."""

    def table(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """A published Parquet file."""
        return read_table(storage.join(self.folder, path), columns)

    def input_manifests(self, key: str) -> list[Manifest]:
        """The manifests of an input."""
        return [read_manifest(folder) for folder in self.inputs[key]]


@dataclass(frozen=True)
class Verdict:
    """What a check found: whether it holds, why in one line, and the figures behind it."""

    passed: bool
    why: str
    figures: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """A named property of an output. Its description is the sentence people read in the UI."""

    name: str
    description: str
    run: Callable[[Published], Verdict]


def no_problems(problems: list[str], fine: str, **figures: float | int | str) -> Verdict:
    """The verdict of a check that collects problems: it holds when there are none."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Verdict(not problems, problems[0] + more if problems else fine, figures)
