"""A killed run and the same command again: the same files as a run that nobody killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from curate.edit.conftest import publish_raw, stages

from infra.job import JobSpec
from infra.storage import list_files
from jobs.recipe.curation.edit import EditCuration
from jobs.recipe.sources import SceneEditsSource
from jobs.specs.edit import EditScoreSettings

SOURCE = SceneEditsSource(count=1200, shard_records=50)
SCRIPT = """
import sys
from infra.job import JobSpec
from infra.reporter import SilentReporter
from jobs.curate.edit.score import run
from jobs.specs.edit import EditScoreSettings
run(JobSpec[EditScoreSettings].model_validate_json(sys.argv[1]), SilentReporter())
"""


def start(raw: str, output: Path) -> subprocess.Popen[bytes]:
    spec = JobSpec[EditScoreSettings](
        asset="edit/scored",
        fingerprint="f",
        inputs={"raw/edit": [raw]},
        output=str(output),
        settings=stages(SOURCE, EditCuration())["scored"][2],
    )
    return subprocess.Popen([sys.executable, "-c", SCRIPT, spec.model_dump_json()], start_new_session=True)


@pytest.mark.chaos
def test_a_killed_run_continues_to_the_same_bytes(
    tmp_path: Path, read_all: Callable[[str], dict[str, bytes]]
) -> None:
    raw = publish_raw(SOURCE, tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(raw, whole).wait() == 0
    process = start(raw, killed)
    while len(list_files(str(killed / "units"))) < 3:
        assert process.poll() is None, "it finished before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "manifest.parquet").exists()
    assert 3 <= len(list_files(str(killed / "units"))) < 24
    assert start(raw, killed).wait() == 0
    assert read_all(str(killed)) == read_all(str(whole))
