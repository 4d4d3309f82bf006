"""What all steps of a packing know, and how their units are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from infra.catalogue import Counts
from infra.job import Resources
from infra.manifest import FileEntry, Output, Receipt
from infra.reporter import Reporter
from jobs.pack.columns import Keys, make_salt, shuffle_keys
from jobs.pack.records import Cost
from jobs.units import Unit, run_units

P = TypeVar("P")


@dataclass(frozen=True)
class Context:
    """What every unit of a packing is told. Small: it travels with each of them."""

    output: Output
    seed: int
    max_tokens: int
    """Token cap of a pack."""
    cost: Cost
    windows: int
    """Shares of the documents that are planned apart from each other."""
    scatters: int
    """Files that the first step writes."""
    splits: int
    """Groups of token files whose rows are moved together."""

    def window_of(self, ids: Keys) -> npt.NDArray[np.int64]:
        """The window of each document: equal ranges of its shuffle key."""
        key = shuffle_keys(ids, make_salt(self.seed, "windows"))
        return (((key >> np.uint64(32)) * np.uint64(self.windows)) >> np.uint64(32)).astype(np.int64)

    def cut_keys(self, ids: Keys) -> Keys:
        """The order in which a family's documents are used, apart from their order in packs."""
        return shuffle_keys(ids, make_salt(self.seed, "mixture"))


class Steps:
    """Does the steps of a packing, one after another."""

    def __init__(self, output: Output, report: Reporter, resources: Resources) -> None:
        self._output, self._report, self._resources = output, report, resources

    def do(self, step: str, tasks: Sequence[P], work: Callable[[Unit[P]], Receipt]) -> list[Receipt]:
        """Do the units of a step that have no receipt; the receipts of all, in order.

        A single unit is done in this process: a worker could only do the same, after it has started.
        """
        units = [Unit(unit_name(step, number), task) for number, task in enumerate(tasks)]
        if len(units) != 1:
            noun = f"units of {step}"
            return run_units(self._output, units, work, self._report, self._resources, noun=noun)
        (unit,) = units
        self._report.progress(0, 1, f"units of {step}")
        return [self._output.receipts().get(unit.name) or self._output.finish_unit(work(unit))]


def unit_name(step: str, number: int) -> str:
    """The name of a unit, and of the file it writes."""
    return f"{step}-{number:05d}"


def receipt(unit: str, *files: FileEntry, counts: Counts | None = None, **metadata: Any) -> Receipt:
    """The receipt of a unit; intermediate files are not named, for they do not last."""
    return Receipt(unit=unit, files=files, counts=counts or Counts(), metadata=metadata)
