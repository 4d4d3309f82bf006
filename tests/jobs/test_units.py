import os
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from ray import cloudpickle

from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import Resources
from infra.manifest import Output, Receipt
from infra.reporter import SilentReporter
from jobs.units import TRIES, Unit, run_units

# Workers cannot import test modules by name.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.usefixtures("ray_session")


class Progress(SilentReporter):
    def __init__(self) -> None:
        self.seen: list[tuple[int, int, str]] = []

    def progress(self, done: int, total: int, unit: str) -> None:
        self.seen.append((done, total, unit))


def double(unit: Unit[int], output: Output) -> Receipt:
    if unit.payload < 0:
        raise UserError("the disk is full", "/data", "Free space")
    number = 84 // unit.payload
    entry = output.publish(f"data/{unit.name}.txt", str(number).encode(), 1)
    return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=1, kept=1))


class Loaded:
    """Counts in the receipts how often a worker was built."""

    def __init__(self, output: Output, folder: str) -> None:
        if not folder:
            raise UserError("no model", "", "Train one")
        self.output = output
        self.serial = len(list(Path(folder).iterdir()))
        (Path(folder) / str(self.serial)).touch()

    def __call__(self, unit: Unit[int]) -> Receipt:
        return double(unit, self.output).model_copy(update={"metadata": {"serial": self.serial}})


def units(*payloads: int) -> list[Unit[int]]:
    return [Unit(f"u{number}", payload, 10) for number, payload in enumerate(payloads)]


def test_receipts_come_in_order_and_progress_adds_up(tmp_path: Path) -> None:
    output, report = Output(str(tmp_path)), Progress()
    receipts = run_units(output, units(1, 2, 3, 4), partial(double, output=output), report, noun="pictures")
    assert [receipt.unit for receipt in receipts] == ["u0", "u1", "u2", "u3"]
    assert report.seen == [(done, 40, "pictures") for done in (0, 10, 20, 30, 40)]
    assert output.receipts() == {receipt.unit: receipt for receipt in receipts}


def test_units_with_receipts_are_not_done_again(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    first = run_units(output, units(1, 2), partial(double, output=output), SilentReporter())
    # Were they done again, the changed payloads would show.
    again = run_units(output, units(7, 7, 3), partial(double, output=output), SilentReporter())
    assert again[:2] == first
    assert (tmp_path / "data/u1.txt").read_text() == "42"
    assert (tmp_path / "data/u2.txt").read_text() == "28"


def test_nothing_to_do(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    assert run_units(output, [], partial(double, output=output), SilentReporter()) == []


def test_a_class_is_built_once_per_worker(tmp_path: Path) -> None:
    output, folder = Output(str(tmp_path / "out")), tmp_path / "built"
    folder.mkdir()
    receipts = run_units(
        output,
        units(*[1] * 6),
        Loaded,
        SilentReporter(),
        Resources(workers=1),
        arguments=(output, str(folder)),
    )
    assert Counter(receipt.metadata["serial"] for receipt in receipts) == {0: 6}


def test_a_user_error_in_a_worker_comes_out_as_it_is(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    with pytest.raises(UserError) as error:
        run_units(output, units(1, -1), partial(double, output=output), SilentReporter())
    assert str(error.value) == "/data: the disk is full. Free space"
    assert "u1" not in output.receipts()


def test_a_user_error_while_loading_comes_out_as_it_is(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    with pytest.raises(UserError, match="no model"):
        run_units(output, units(1), Loaded, SilentReporter(), arguments=(output, ""))


def test_workers_with_gpus_where_there_are_none_are_one_clear_line(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    work = partial(double, output=output)
    with pytest.raises(UserError, match=r"a worker takes 0\.5 GPUs, which Ray does not have"):
        run_units(output, units(1), work, SilentReporter(), Resources(gpus=0.5))


def test_other_errors_name_the_unit(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    with pytest.raises(RuntimeError, match=r"unit u1 failed[\s\S]*ZeroDivisionError"):
        run_units(output, units(1, 0), partial(double, output=output), SilentReporter())


def dies(unit: Unit[int], output: Output, folder: str, times: int) -> Receipt:
    """Kills its worker the first `times` times, if the unit is 7."""
    tried = len(list(Path(folder).iterdir()))
    if unit.payload == 7 and tried < times:
        (Path(folder) / str(tried)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return double(unit, output)


def test_a_unit_whose_worker_died_is_done_by_another(tmp_path: Path) -> None:
    output, folder = Output(str(tmp_path / "out")), tmp_path / "tried"
    folder.mkdir()
    work = partial(dies, output=output, folder=str(folder), times=2)
    receipts = run_units(output, units(1, 7, 2), work, SilentReporter())
    assert [receipt.counts.kept for receipt in receipts] == [1, 1, 1]
    assert len(list(folder.iterdir())) == 2


class Dies:
    def __init__(self, output: Output, folder: str, times: int) -> None:
        self.output, self.folder, self.times = output, folder, times

    def __call__(self, unit: Unit[int]) -> Receipt:
        return dies(unit, self.output, self.folder, self.times)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_unit_that_kills_every_worker_ends_the_run_with_one_line(tmp_path: Path, loaded: bool) -> None:
    output, folder = Output(str(tmp_path / "out")), tmp_path / "tried"
    folder.mkdir()
    work = Dies if loaded else partial(dies, output=output, folder=str(folder), times=100)
    arguments = (output, str(folder), 100) if loaded else ()
    with pytest.raises(UserError, match=r"workers died over unit u1: \w+\. See whether memory ran out"):
        run_units(output, units(1, 7), work, SilentReporter(), arguments=arguments)
    assert len(list(folder.iterdir())) == TRIES
    assert set(output.receipts()) <= {"u0"}


@pytest.mark.parametrize("times", [1, TRIES + 1])
def test_who_is_done_makes_room_for_who_died(tmp_path: Path, times: int) -> None:
    """There are more workers than cores, so an actor that starts again finds all cores taken."""
    output, folder = Output(str(tmp_path / "out")), tmp_path / "tried"
    folder.mkdir()
    arguments = (output, str(folder), times)
    resources = Resources(workers=4)
    receipts = run_units(
        output, units(7, 1, 2, 3, 4), Dies, SilentReporter(), resources, arguments=arguments, tries=None
    )
    assert [receipt.counts.kept for receipt in receipts] == [1] * 5
    assert len(list(folder.iterdir())) == times


def absent() -> None:
    raise ModuleNotFoundError("No module named 'absent'")


class Unreadable:
    def __reduce__(self) -> tuple[object, tuple[()]]:
        return absent, ()


@pytest.mark.parametrize("loaded", [False, True])
def test_work_that_cannot_be_read_says_why(tmp_path: Path, loaded: bool) -> None:
    output = Output(str(tmp_path))
    work = Loaded if loaded else partial(double, output=Unreadable())
    arguments = (Unreadable(), "") if loaded else ()
    with pytest.raises(RuntimeError, match=r"cannot (begin|start)[\s\S]*No module named 'absent'"):
        run_units(output, units(1), work, SilentReporter(), arguments=arguments)
