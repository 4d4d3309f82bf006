"""Running a training loop on the workers of Ray Train, or in this process.

Ray Train starts the workers, connects them and restarts them after a failure; the loop continues from
its own checkpoints. What a loop tells travels through a queue to the process that waits for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import fsspec
from pyarrow.fs import FSSpecHandler, PyFileSystem

from infra import storage
from infra.errors import UserError
from infra.job import Resources
from infra.local_ray import ensure_ray
from infra.reporter import Reporter
from jobs.train.world import World, alone, thread_share

T = TypeVar("T")
Loop = Callable[[World, T], UserError | None]
"""A training loop. It returns a UserError on all ranks to end a run that no restart can mend; whatever
it raises is tried again on new workers."""

RESTARTS = 3
"""Failures of workers (a lost node, no memory) that a run survives."""

_POLL_SECONDS = 0.2


def run_loop(
    loop: Loop[T], task: T, workers: int, resources: Resources, output: str, report: Reporter
) -> None:
    """Run a loop to its end; one worker without a GPU runs in this process, without Ray.

    Args:
        loop: a function at the top of a module.
        task: its argument; it can be pickled.
        workers: how many processes share each step. It is part of what is made, so it comes from the recipe.
        output: folder below which Ray Train may leave its notes.

    Raises:
        UserError: the loop ended with one, or failed with one more often than it is restarted.
    """
    if workers == 1 and not resources.gpus:
        problem = _run_here(loop, task, report)
    else:
        problem = _run_on_ray(loop, task, workers, resources, output, report)
    if problem is not None:
        raise problem


def _run_here(loop: Loop[T], task: T, report: Reporter) -> UserError | None:
    def tell(done: int, steps: int, figures: dict[str, float]) -> None:
        report.progress(done, steps, "steps")
        report.figures(done, figures)

    with alone(tell) as world:
        return loop(world, task)


def _run_on_ray(
    loop: Loop[T], task: T, workers: int, resources: Resources, output: str, report: Reporter
) -> UserError | None:
    _prepare_ray()
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import WorkerGroupError

    with _queue() as queue:
        trainer = TorchTrainer(
            _enter,
            train_loop_config={"loop": loop, "task": task, "queue": queue},
            scaling_config=_scaling(workers, resources.gpus),
            run_config=_run_config(output),
        )
        try:
            result = _relay(trainer.fit, queue, report)
        except WorkerGroupError as error:
            raise _user_error(error) or error from None
    problem: UserError | None = result.return_value
    return problem


def _enter(config: dict[str, Any]) -> UserError | None:
    """What each worker runs."""
    import ray.train
    from ray.train.torch import get_device

    context = ray.train.get_context()

    def tell(done: int, steps: int, figures: dict[str, float]) -> None:
        if context.get_world_rank() == 0:
            config["queue"].put((done, steps, figures))

    world = World(context.get_world_rank(), context.get_world_size(), get_device(), tell)
    with thread_share(context.get_local_world_size()):
        problem: UserError | None = config["loop"](world, config["task"])
    return problem


def _relay(fit: Callable[[], Any], queue: Any, report: Reporter) -> Any:
    """Call `fit` in a thread while this one, which the reporter belongs to, hands on what workers tell."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(fit())
        except BaseException as error:
            future.set_exception(error)

    # A daemon, so that an interrupted process can end.
    threading.Thread(target=work, name="ray-train", daemon=True).start()
    while not future.done() or not queue.empty():
        for done, steps, figures in _arrived(queue):
            report.progress(done, steps, "steps")
            report.figures(done, figures)
    return future.result()


def _arrived(queue: Any) -> list[tuple[int, int, dict[str, float]]]:
    """Everything in the queue; waits a little for the first."""
    from ray.util.queue import Empty

    try:
        first = queue.get(timeout=_POLL_SECONDS)
    except Empty:
        return []
    return [first, *queue.get_nowait_batch(queue.qsize())]


@contextmanager
def _queue() -> Iterator[Any]:
    from ray.util.queue import Queue

    queue = Queue(actor_options={"num_cpus": 0})
    try:
        yield queue
    finally:
        queue.shutdown(force=True)


def _prepare_ray() -> None:
    """Connect to Ray, with Ray Train set up for how it is used here; its environment says so."""
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    # Outputs may be relative to the folder that the user started in.
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    if "RAY_ADDRESS" not in os.environ:
        # Watches for nodes about to be taken away; one machine is not, and its actor costs seconds.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    ensure_ray()


def _scaling(workers: int, gpus: float) -> Any:
    """A core for each worker, or a share of one where the machine has fewer, so that a run can start."""
    import ray
    from ray.train import ScalingConfig

    cores = float(ray.cluster_resources().get("CPU", 1))
    share = {"CPU": min(1.0, cores / workers)} | ({"GPU": gpus} if gpus else {})
    return ScalingConfig(num_workers=workers, use_gpu=bool(gpus), resources_per_worker=share)


def _run_config(output: str) -> Any:
    """Ray Train's notes lie beside our checkpoints; it stores none of its own."""
    from ray.train import FailureConfig, RunConfig

    filesystem, place = fsspec.core.url_to_fs(storage.join(output, "checkpoints"))
    return RunConfig(
        name="ray-train",
        storage_path=place,
        storage_filesystem=PyFileSystem(FSSpecHandler(filesystem)),
        failure_config=FailureConfig(max_failures=RESTARTS),
    )


def _user_error(error: Any) -> UserError | None:
    """The UserError behind the failure of a worker, if there is one."""
    for failure in error.worker_failures.values():
        cause: BaseException | None = failure
        while cause is not None:
            if isinstance(cause, UserError):
                return cause
            cause = getattr(cause, "_base_exc", None) or cause.__cause__
    return None
