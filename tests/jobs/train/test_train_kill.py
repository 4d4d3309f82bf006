"""SIGKILL of a training process, in the middle of a real run on two workers, then the same command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.job import JobSpec
from infra.manifest import Manifest, read_manifest
from jobs.specs import TrainSettings

Spec = JobSpec[TrainSettings]
DEADLINE_SECONDS = 240


@contextmanager
def job(spec: Spec) -> Iterator[subprocess.Popen[bytes]]:
    """The command that runs a job as a process of its own."""
    path = Path(spec.output + "-spec.json")
    path.write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "jobs.main", "--job", "jobs.train.run:run", "--spec", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def finish(spec: Spec) -> Manifest:
    with job(spec) as process:
        assert process.wait(DEADLINE_SECONDS) == 0
    return read_manifest(spec.output)


def kill_after_checkpoint(spec: Spec, step: int) -> None:
    marker = Path(spec.output) / "checkpoints" / f"step-{step:08d}" / "finished.json"
    give_up = time.monotonic() + DEADLINE_SECONDS
    with job(spec) as process:
        while not marker.exists():
            assert process.poll() is None, "the job ended before it could be killed"
            assert time.monotonic() < give_up, "no checkpoint appeared"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_sigkill_of_the_driver_and_the_same_command_give_the_same_bytes(make_spec: Any) -> None:
    stage = {"steps": 40, "workers": 2, "checkpoint_every": 10}
    whole, killed = make_spec("whole", **stage), make_spec("killed", **stage)
    expected = finish(whole)
    kill_after_checkpoint(killed, 10)
    assert not (Path(killed.output) / "manifest.parquet").exists()
    assert finish(killed) == expected
    for file in expected.files:
        contents = [(Path(spec.output) / file.path).read_bytes() for spec in (whole, killed)]
        assert contents[0] == contents[1], file.path
