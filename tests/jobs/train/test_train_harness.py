"""Workers that die or give up: what Ray Train restarts and what comes back as one line."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from ray import cloudpickle

from infra.errors import UserError
from infra.job import Resources
from infra.reporter import SilentReporter
from jobs.train.harness import run_loop
from jobs.train.world import World

# Workers cannot import a test by its name.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Listener(SilentReporter):
    def __init__(self) -> None:
        self.figures_seen: list[dict[str, float]] = []

    def figures(self, step: int, values: dict[str, float]) -> None:
        self.figures_seen.append(values)


def dies_once(world: World, folder: str) -> UserError | None:
    mark = Path(folder) / "died"
    world.barrier()
    # A death before Ray Train watches its workers, soon after they start, is an error of its own to it.
    time.sleep(5)
    if world.rank == 1 and not mark.exists():
        mark.touch()
        os._exit(1)
    world.barrier()
    world.tell(1, 1, {"processes": world.size})
    return None


def gives_up(world: World, folder: str) -> UserError | None:
    (Path(folder) / f"tried-{os.getpid()}").touch()
    return UserError("the loss is not finite", "here", "Lower it")


def keeps_failing(world: World, folder: str) -> UserError | None:
    (Path(folder) / f"tried-{os.getpid()}").touch()
    raise UserError("the disk is full", folder)


def test_one_worker_runs_in_this_process(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"here: the loss is not finite\. Lower it"):
        run_loop(gives_up, str(tmp_path), 1, Resources(), str(tmp_path), SilentReporter())
    assert (tmp_path / f"tried-{os.getpid()}").exists()


@pytest.mark.chaos
@pytest.mark.usefixtures("ray_session")
def test_a_worker_that_died_is_replaced(tmp_path: Path) -> None:
    report = Listener()
    run_loop(dies_once, str(tmp_path), 2, Resources(), str(tmp_path), report)
    assert (tmp_path / "died").exists()
    assert report.figures_seen == [{"processes": 2}]


@pytest.mark.chaos
@pytest.mark.usefixtures("ray_session")
def test_what_no_restart_can_mend_is_tried_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"here: the loss is not finite\. Lower it"):
        run_loop(gives_up, str(tmp_path), 2, Resources(), str(tmp_path), SilentReporter())
    assert len(list(tmp_path.glob("tried-*"))) == 2  # one for each worker


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_session")
def test_an_error_that_stays_comes_out_as_it_was_raised(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the disk is full"):
        run_loop(keeps_failing, str(tmp_path), 2, Resources(), str(tmp_path), SilentReporter())
    assert len(list(tmp_path.glob("tried-*"))) > 2
