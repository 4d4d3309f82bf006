"""Units of work over Ray: each unit is done once, by any worker, and leaves a receipt.

Ray schedules and tries again where a worker is lost: in tasks, or, where a worker has something to load
first, in Ray Data's pools of actors. What is done is written in the receipts, not in Ray: a killed run
continues with the units that have none. A unit streams its own records, so a run holds one unit per worker
at most.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import ray

from infra.errors import UserError
from infra.job import Resources
from infra.local_ray import ensure_ray
from infra.manifest import Output, Receipt
from infra.reporter import Reporter

P = TypeVar("P")
Row = dict[str, Any]

ALL_CORES = Resources()

MOST_DEATHS = 8
"""Workers that may die over one unit before the run ends."""


@dataclass(frozen=True)
class Unit(Generic[P]):
    """A piece of work with a name, unique in its stage. `size` weighs it in the progress bar."""

    name: str
    payload: P
    size: int = 1


def run_units(
    output: Output,
    units: Sequence[Unit[P]],
    work: Callable[..., Any],
    report: Reporter,
    resources: Resources = ALL_CORES,
    *,
    arguments: tuple[Any, ...] = (),
    noun: str = "units",
) -> list[Receipt]:
    """Do every unit that has no receipt yet; return all receipts in the order of `units`.

    Args:
        output: where the work publishes; receipts go there after each unit's files.
        units: the work, with unique names.
        work: a function `unit -> Receipt`, or a class that is built once per worker from `arguments`
            (a model is loaded once) and called with units.
        report: told about progress, in `noun`.
        resources: how many workers, and the GPUs of each.
        arguments: of the class.
        noun: what `Unit.size` counts.

    Raises:
        UserError: the one that a unit raised, or workers die over a unit again and again.
        RuntimeError: a unit failed otherwise; names the unit and has the worker's traceback.
    """
    receipts = output.receipts()
    pending = [unit for unit in units if unit.name not in receipts]
    total = sum(unit.size for unit in units)
    done = total - sum(unit.size for unit in pending)
    report.progress(done, total, noun)
    sizes = {unit.name: unit.size for unit in pending}
    for receipt in _finish(output, pending, work, resources, arguments):
        receipts[receipt.unit] = receipt
        done += sizes[receipt.unit]
        report.progress(done, total, noun)
    return [receipts[unit.name] for unit in units]


def _finish(
    output: Output,
    pending: Sequence[Unit[Any]],
    work: Callable[..., Any],
    resources: Resources,
    arguments: tuple[Any, ...],
) -> Iterator[Receipt]:
    """Yield the receipts of pending units as workers finish them."""
    if not pending:
        return
    ensure_ray()
    workers = min(resources.workers or _default_workers(resources), len(pending))
    share = {"num_gpus": resources.gpus} if resources.gpus else {"num_cpus": 1}
    if inspect.isclass(work):
        rows = _in_pool(pending, (output, work, arguments), workers, share)
    else:
        rows = _in_tasks(pending, output, work, workers, share)
    for row in rows:
        _raise_error(row)
        yield Receipt.model_validate_json(row["receipt"])


def _in_tasks(
    pending: Sequence[Unit[Any]],
    output: Output,
    work: Callable[[Unit[Any]], Receipt],
    workers: int,
    share: dict[str, Any],
) -> Iterator[Row]:
    """Do units in tasks of their own. Ray Data would wait a quarter of a second between two of them.

    Raises:
        UserError: workers die over a unit again and again.
    """
    do = ray.remote(_do).options(max_retries=MOST_DEATHS - 1, **share)
    shared, waiting = ray.put(work), iter(pending)
    running = {do.remote(unit, output, shared): unit.name for unit in islice(waiting, workers)}
    try:
        while running:
            (finished,), _ = ray.wait(list(running))
            row = _fetch(finished, running.pop(finished))
            running |= {do.remote(unit, output, shared): unit.name for unit in islice(waiting, 1)}
            yield row
    finally:
        for left in running:
            ray.cancel(left)


def _fetch(finished: ray.ObjectRef[Row], name: str) -> Row:
    """What a task returned.

    Raises:
        UserError: it returned nothing, for its workers died.
    """
    try:
        row: Row = ray.get(finished)
    except ray.exceptions.RayError as error:
        what = f"workers died over unit {name}: {type(error).__name__}"
        raise UserError(what, "Ray", "See whether memory ran out, and run again") from error
    return row


def _in_pool(
    pending: Sequence[Unit[Any]], arguments: tuple[Any, ...], workers: int, share: dict[str, Any]
) -> Iterator[Row]:
    """Do units in actors, each of which builds what it works with once."""
    import ray.data

    _quiet()
    rows = ray.data.from_items([{"unit": unit} for unit in pending], override_num_blocks=len(pending))
    # A pool of more than there are cores for would wait for all before it starts.
    size = (1, workers) if workers > _cores() else workers
    yield from rows.map(_Loaded, fn_constructor_args=arguments, concurrency=size, **share).iter_rows()


def _do(unit: Unit[Any], output: Output, work: Callable[[Unit[Any]], Receipt]) -> Row:
    """Run one unit in a worker. Errors travel back as data, so that they arrive as they were."""
    result: Row = {"unit": unit.name, "receipt": "", "user_error": [], "trace": ""}
    try:
        receipt = output.finish_unit(work(unit))
        return result | {"receipt": receipt.model_dump_json()}
    except UserError as error:
        return result | {"user_error": [error.what, error.where, error.mend]}
    except Exception:
        return result | {"trace": traceback.format_exc()}


class _Loaded:
    """A worker that keeps what it loaded between units."""

    def __init__(self, output: Output, factory: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._output = output
        self._factory = factory
        self._arguments = arguments
        self._work: Callable[[Unit[Any]], Receipt] | None = None

    def __call__(self, row: Row) -> Row:
        return _do(row["unit"], self._output, self._call)

    def _call(self, unit: Unit[Any]) -> Receipt:
        # Built here and not in __init__, so that a failure to load comes back like any other.
        if self._work is None:
            self._work = self._factory(*self._arguments)
        return self._work(unit)


def _raise_error(row: Row) -> None:
    if len(row["user_error"]):
        raise UserError(*row["user_error"])
    if row["trace"]:
        raise RuntimeError(f"unit {row['unit']} failed in a worker\n{row['trace']}")


def _default_workers(resources: Resources) -> int:
    """One for each core, or for each share of a GPU.

    Raises:
        UserError: there is no GPU, and Ray would wait for one.
    """
    if not resources.gpus:
        return _cores()
    if workers := int(ray.cluster_resources().get("GPU", 0) // resources.gpus):
        return workers
    what = f"a worker takes {resources.gpus:g} GPUs, which Ray does not have"
    raise UserError(what, "recipe", "Set its device to cpu, or, where GPUs come on demand, its workers")


def _cores() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _quiet() -> None:
    """Progress is the reporter's; Ray Data's own bars and notices would mix with it."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
