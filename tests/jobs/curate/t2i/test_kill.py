"""A killed run and the same command again: the same files as a run that nobody killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.manifest import Output
from infra.storage import list_files
from jobs.recipe import ScenesSource
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards

SOURCE = ScenesSource(count=1200, shard_records=50)
SCRIPT = """
import sys
from infra.job import JobSpec
from infra.reporter import SilentReporter
from jobs.curate.t2i.score import run
from jobs.specs.t2i import ScoreSettings
run(JobSpec[ScoreSettings].model_validate_json(sys.argv[1]), SilentReporter())
"""


def start(raw: str, output: Path) -> subprocess.Popen[bytes]:
    from infra.job import JobSpec
    from jobs.specs.t2i import ScoreSettings

    settings = ScoreSettings(source=SOURCE, max_bytes=100_000, max_pixels=100_000)
    spec = JobSpec[ScoreSettings](
        asset="t2i/scored",
        fingerprint="f",
        inputs={"raw/t2i": [raw]},
        output=str(output),
        settings=settings,
    )
    return subprocess.Popen([sys.executable, "-c", SCRIPT, spec.model_dump_json()], start_new_session=True)


@pytest.mark.chaos
def test_a_killed_run_continues_to_the_same_bytes(
    tmp_path: Path, read_all: Callable[[str], dict[str, bytes]]
) -> None:
    raw = str(tmp_path / "raw")
    publish_shards(Output(raw), list_shards("t2i", SOURCE))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(raw, whole).wait() == 0
    process = start(raw, killed)
    while len(list_files(str(killed / "units"))) < 3:
        assert process.poll() is None, "it finished before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list_files(str(killed / "units")))
    assert not (killed / "manifest.parquet").exists()
    assert 3 <= done < 24
    assert start(raw, killed).wait() == 0
    assert read_all(str(killed)) == read_all(str(whole))
