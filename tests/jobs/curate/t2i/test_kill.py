"""A killed run and the same command again: the same files as a run that nobody killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vlm.server import Answer, Seen, VlmServer

from infra.job import JobSpec
from infra.manifest import Output
from infra.storage import list_files
from jobs.recipe import Captions, ScenesSource, T2ICuration
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs.t2i import CaptionSettings, ScoreSettings

SCRIPT = """
import sys
from infra.job import load_job, spec_type
from infra.reporter import SilentReporter
job = load_job(sys.argv[1])
job(spec_type(job).model_validate_json(sys.argv[2]), SilentReporter())
"""

ReadAll = Callable[[str], dict[str, bytes]]


def start(job: str, spec: JobSpec[Any], output: Path) -> subprocess.Popen[bytes]:
    told = spec.model_copy(update={"output": str(output)}).model_dump_json()
    return subprocess.Popen([sys.executable, "-c", SCRIPT, job, told], start_new_session=True)


def kill_in_the_middle(job: str, spec: JobSpec[Any], output: Path, units: int) -> None:
    """Start a job, and kill all of it after its first units."""
    process = start(job, spec, output)
    while len(list_files(str(output / "units"))) < 3:
        assert process.poll() is None, "it finished before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "manifest.parquet").exists()
    assert 3 <= len(list_files(str(output / "units"))) < units


@pytest.mark.chaos
def test_a_killed_run_continues_to_the_same_bytes(tmp_path: Path, read_all: ReadAll) -> None:
    source, raw, job = (
        ScenesSource(count=1200, shard_records=50),
        str(tmp_path / "raw"),
        "jobs.curate.t2i.score:run",
    )
    publish_shards(Output(raw), list_shards("t2i", source))
    spec = JobSpec[ScoreSettings](
        asset="t2i/scored",
        fingerprint="f",
        inputs={"raw/t2i": [raw]},
        output="",
        settings=ScoreSettings(source=source, max_bytes=100_000, max_pixels=100_000),
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(job, spec, whole).wait() == 0
    kill_in_the_middle(job, spec, killed, units=24)
    assert start(job, spec, killed).wait() == 0
    assert read_all(str(killed)) == read_all(str(whole))


@pytest.mark.chaos
def test_a_killed_run_that_asks_a_model_continues_to_the_same_bytes(
    curate: Callable[..., dict[str, str]], tmp_path: Path, read_all: ReadAll
) -> None:
    """Its figures too: what was answered before the kill is paid once, and told once."""
    source, curation = ScenesSource(count=240, shard_records=10), T2ICuration(captions=Captions(by="vlm"))
    before = curate(source, tmp_path / "before", curation, only=["scored", "filtered", "topics", "balanced"])
    asked: list[str] = []

    def answer(seen: Seen) -> Answer:
        asked.append(seen.text)
        time.sleep(0.05)  # so that there is a middle
        return {"caption": "Some shapes of several colours."}

    whole, killed, job = tmp_path / "whole", tmp_path / "killed", "jobs.curate.t2i.caption:run"
    with VlmServer(answer) as server:
        spec = JobSpec[CaptionSettings](
            asset="t2i/captioned",
            fingerprint="f",
            inputs={"t2i/balanced": [before["balanced"]]},
            output="",
            cache=str(tmp_path / "cache"),
            settings=CaptionSettings(
                source=source,
                captions=curation.captions,
                vlm=server.settings(concurrency=1, input_price=0.5, output_price=2.0),
            ),
        )
        kill_in_the_middle(job, spec, killed, units=24)
        assert start(job, spec, killed).wait() == 0
        assert start(job, spec.model_copy(update={"cache": None}), whole).wait() == 0
    assert read_all(str(killed)) == read_all(str(whole))
