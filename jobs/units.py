"""Units of work over Ray: each unit is done once, by any worker, and leaves a receipt.

Ray starts workers and tries again where one is lost: tasks, or actors where there is something to load first.
What is done is written in the receipts, not in Ray: a killed run continues with the units that have none. A
unit streams its own records, so a run holds one unit per worker at most.

Ray Data could do the same, but its workers idle between two short units.
"""

from __future__ import annotations

import inspect
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import ray

from infra.errors import UserError
from infra.job import Resources
from infra.local_ray import ensure_ray
from infra.manifest import Output, Receipt
from infra.reporter import Reporter

P = TypeVar("P")

ALL_CORES = Resources()

TRIES = 5
"""How often a unit is begun before the run ends, where its workers die."""


@dataclass(frozen=True)
class Unit(Generic[P]):
    """A piece of work with a name, unique in its stage. `size` weighs it in the progress bar."""

    name: str
    payload: P
    size: int = 1


@dataclass(frozen=True)
class _Failure:
    """An error in a worker that is no `UserError`."""

    trace: str


_DEATHS = (
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.ActorDiedError,
    ray.exceptions.ActorUnavailableError,
)
_Outcome = Receipt | UserError | _Failure
_Outcomes = Generator[tuple[Unit[Any], _Outcome], None, None]


@dataclass(frozen=True)
class _Worker:
    """Who does units: `submit` returns what a unit will come back as."""

    submit: Callable[[Unit[Any]], Any]
    release: Callable[[], None]


def run_units(
    output: Output,
    units: Sequence[Unit[P]],
    work: Callable[..., Any],
    report: Reporter,
    resources: Resources = ALL_CORES,
    *,
    arguments: tuple[Any, ...] = (),
    noun: str = "units",
    tries: int | None = TRIES,
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
        tries: how often a unit is begun, where its workers die; None if the work counts deaths itself.

    Raises:
        UserError: the one that a unit raised, or workers die over a unit again and again.
        RuntimeError: a unit failed otherwise, or could not begin; has the worker's traceback.
    """
    receipts = output.receipts()
    pending = [unit for unit in units if unit.name not in receipts]
    total = sum(unit.size for unit in units)
    done = total - sum(unit.size for unit in pending)
    report.progress(done, total, noun)
    sizes = {unit.name: unit.size for unit in pending}
    for receipt in _finish(output, pending, work, resources, arguments, tries):
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
    tries: int | None,
) -> Iterator[Receipt]:
    """Yield the receipts of pending units as workers finish them."""
    if not pending:
        return
    ensure_ray()
    workers = min(resources.workers or _default_workers(resources), len(pending))
    options: dict[str, Any] = {"num_gpus": resources.gpus} if resources.gpus else {"num_cpus": 1}
    again = -1 if tries is None else tries - 1
    if inspect.isclass(work):
        options |= {"max_restarts": -1, "max_task_retries": again}
        outcomes = _in_actors(pending, output, work, arguments, workers, options)
    else:
        outcomes = _in_tasks(pending, output, work, workers, options | {"max_retries": again})
    # Closed here: a traceback would keep the workers of a run that failed.
    with closing(outcomes):
        for unit, outcome in outcomes:
            if isinstance(outcome, UserError):
                raise outcome
            if isinstance(outcome, _Failure):
                raise RuntimeError(f"unit {unit.name} failed in a worker\n{outcome.trace}")
            yield outcome


def _in_tasks(
    pending: Sequence[Unit[Any]],
    output: Output,
    work: Callable[[Unit[Any]], Receipt],
    workers: int,
    options: dict[str, Any],
) -> _Outcomes:
    """Do units in tasks, for which Ray's processes may be there already."""
    task, shared = ray.remote(_do).options(**options), ray.put(work)
    worker = _Worker(lambda unit: task.remote(unit, output, shared), lambda: None)
    yield from _schedule(pending, [worker] * workers, {})


def _in_actors(
    pending: Sequence[Unit[Any]],
    output: Output,
    factory: Callable[..., Any],
    arguments: tuple[Any, ...],
    workers: int,
    options: dict[str, Any],
) -> _Outcomes:
    """Do units in actors, each of which builds what it works with once."""
    actor = ray.remote(_Loaded).options(**options)
    actors = [actor.remote(output, factory, arguments) for _ in range(workers)]
    starting = {one.ready.remote(): _Worker(one.do.remote, partial(ray.kill, one)) for one in actors}
    try:
        yield from _schedule(pending, [], starting)
    finally:
        for one in actors:
            ray.kill(one)


def _schedule(pending: Sequence[Unit[Any]], free: list[_Worker], starting: dict[Any, _Worker]) -> _Outcomes:
    """Give the next unit to whoever is free; yield what comes back.

    Whoever is not needed any more is released at once: another that died over a unit may need its place.

    Args:
        pending: the units, in the order in which they are begun.
        free: who waits for a unit.
        starting: who will, once something is there. An actor that waits for a core keeps no unit waiting.

    Raises:
        UserError: workers die over a unit again and again.
        RuntimeError: a worker cannot start, or a unit cannot begin.
    """
    waiting = deque(pending)
    running: dict[Any, tuple[Unit[Any], _Worker]] = {}
    try:
        while waiting or running:
            while waiting and free:
                unit, worker = waiting.popleft(), free.pop()
                running[worker.submit(unit)] = (unit, worker)
            if not waiting:
                _release([*free, *starting.values()])
                free, starting = [], {}
            (finished,), _ = ray.wait([*running, *starting])
            if finished in starting:
                _check_start(finished)
                free.append(starting.pop(finished))
            else:
                unit, worker = running.pop(finished)
                free.append(worker)
                yield unit, _fetch(finished, unit)
    finally:
        for left in running:
            ray.cancel(left)


def _release(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.release()


def _check_start(finished: Any) -> None:
    """Refuse to go on without a worker.

    Raises:
        RuntimeError: it did not start.
    """
    try:
        ray.get(finished)
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"a worker cannot start\n{error}") from error


def _fetch(finished: Any, unit: Unit[Any]) -> _Outcome:
    """What became of a unit.

    Raises:
        UserError: its workers died, too often.
        RuntimeError: it could not begin.
    """
    try:
        outcome: _Outcome = ray.get(finished)
    except _DEATHS as error:
        what = f"workers died over unit {unit.name}: {type(error).__name__}"
        raise UserError(what, "Ray", "See whether memory ran out, and run again") from error
    except ray.exceptions.RayError as error:
        raise RuntimeError(f"unit {unit.name} cannot begin\n{error}") from error
    return outcome


def _do(unit: Unit[Any], output: Output, work: Callable[[Unit[Any]], Receipt]) -> _Outcome:
    """Run one unit in a worker. Errors travel back as data, so that they arrive as they were."""
    try:
        return output.finish_unit(work(unit))
    except UserError as error:
        return error
    except Exception:
        return _Failure(traceback.format_exc())


class _Loaded:
    """An actor, which keeps what it loaded from unit to unit."""

    def __init__(self, output: Output, factory: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._output = output
        self._factory = factory
        self._arguments = arguments
        self._work: Callable[[Unit[Any]], Receipt] | None = None

    def ready(self) -> None:
        """Comes back once the actor runs."""

    def do(self, unit: Unit[Any]) -> _Outcome:
        """Do one unit."""
        return _do(unit, self._output, self._call)

    def _call(self, unit: Unit[Any]) -> Receipt:
        # Built here and not in __init__, so that a failure to load comes back like any other.
        if self._work is None:
            self._work = self._factory(*self._arguments)
        return self._work(unit)


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
