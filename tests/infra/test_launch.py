"""Jobs through a real Ray head and its job server: same bytes, one submission, live messages."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import storage
from infra.errors import UserError
from infra.job import JobSpec
from infra.launch import InProcessLauncher, RayJobsLauncher, _connect, submission_id
from infra.manifest import find_manifest
from infra.reporter import SilentReporter
from jobs.recipe import Filters, Recipe, ScenesSource
from jobs.sources.discover import discover, raw_output
from jobs.specs.t2i import ScoreSettings
from pipelines.project import load_recipe

ROOT = Path(__file__).parents[2]


class Recorder(SilentReporter):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def progress(self, done: int, total: int, unit: str) -> None:
        self.calls.append(("progress", done, total, unit))

    def picture(self, name: str, uri: str) -> None:
        self.calls.append(("picture", name, uri))


@pytest.fixture(scope="session")
def ray_jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the job server of a Ray head of its own, on free ports.

    Ray gives a node 30 s to start, which a busy machine may exceed, so it may try three times.
    """
    for _ in range(3):
        dashboard, *others = _free_ports(5)
        folder = tmp_path_factory.mktemp("ray")
        head = _start_head(folder, dashboard, others)
        if _starts(head, folder / "log"):
            break
        _end(head)
    try:
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        _end(head)
        shutil.rmtree(_ray_folder(dashboard), ignore_errors=True)


def _ray_folder(dashboard: int) -> str:
    """Ray's sockets need a short path."""
    return f"/tmp/nextscale-ray-{dashboard}"


def _start_head(folder: Path, dashboard: int, others: list[int]) -> subprocess.Popen[bytes]:
    gcs, agent, agent_grpc, client = others
    ray = Path(sys.executable).with_name("ray")
    command = [str(ray), "start", "--head", "--block", f"--port={gcs}", f"--ray-client-server-port={client}"]
    command += [f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
    command += ["--num-cpus=2", "--disable-usage-stats", f"--temp-dir={_ray_folder(dashboard)}"]
    with (folder / "log").open("wb") as log:
        # Jobs run where the server was started: not here, so that nothing works by accident.
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def _starts(head: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether Ray says that it runs, before it gives up."""
    while head.poll() is None:
        if "Ray runtime started" in log.read_text():
            return True
        time.sleep(0.5)
    return False


def _end(head: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(head.pid, number)
            head.wait(5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _recipe(count: int) -> Recipe:
    sizes = [f"sources.t2i.count={count}", "sources.t2i.shard_records=100"]
    return load_recipe(overrides=sizes)


def _spec(home: Path, name: str, count: int = 200) -> JobSpec[ScoreSettings]:
    """t2i/scored of a small drop: a real job that fans out over Ray Data."""
    recipe = _recipe(count)
    (drop,) = discover(recipe, str(home))["t2i"]
    source = recipe.sources.t2i
    assert isinstance(source, ScenesSource)
    return JobSpec(
        asset="t2i/scored",
        partition=drop,
        fingerprint="0123456789abcdef",
        inputs={"raw/t2i": [raw_output(recipe, str(home), "t2i", drop)]},
        output=str(home / name),
        settings=ScoreSettings(source=source, max_bytes=1_000_000, max_pixels=1_000_000),
    )


def _content(folder: str) -> dict[str, bytes]:
    return {f.uri.removeprefix(folder): storage.read_bytes(f.uri) for f in storage.list_files(folder)}


def _jobs_named(address: str, name: str) -> list[Any]:
    return [job for job in _connect(address).list_jobs() if job.submission_id == name]


def test_a_ray_job_publishes_the_same_bytes_as_in_process(
    ray_session: None, ray_jobs: str, tmp_path: Path
) -> None:
    here, there = _spec(tmp_path, "here"), _spec(tmp_path, "there")
    report = Recorder()
    expected = InProcessLauncher().run("jobs.curate.t2i.score:run", here, SilentReporter())
    manifest = RayJobsLauncher(ray_jobs).run("jobs.curate.t2i.score:run", there, report)
    assert manifest.hash == expected.hash
    assert _content(there.output) == _content(here.output)
    done = [call for call in report.calls if call[0] == "progress"]
    assert done[-1][1:] == (200, 200, "pictures")
    assert any(call[0] == "picture" for call in report.calls)


def test_a_users_mistake_arrives_as_a_user_error(ray_jobs: str, tmp_path: Path) -> None:
    spec = _spec(tmp_path, "out").model_copy(update={"inputs": {"raw/t2i": [str(tmp_path / "gone")]}})
    with pytest.raises(UserError, match=r"gone.*no such file"):
        RayJobsLauncher(ray_jobs).run("jobs.curate.t2i.score:run", spec, SilentReporter())


@pytest.mark.chaos
def test_a_crash_comes_with_the_end_of_the_jobs_log_and_can_be_run_again(
    ray_jobs: str, tmp_path: Path
) -> None:
    spec = _spec(tmp_path, "out")
    with pytest.raises(RuntimeError, match="no_such_function"):
        RayJobsLauncher(ray_jobs).run("jobs.curate.t2i.score:no_such_function", spec, SilentReporter())
    assert (
        RayJobsLauncher(ray_jobs).run("jobs.curate.t2i.score:run", spec, SilentReporter()).counts.total == 200
    )


def test_no_job_server_is_one_line() -> None:
    (port,) = _free_ports(1)
    spec = JobSpec(asset="a", fingerprint="0", output="/nowhere", settings=Filters())
    with pytest.raises(UserError, match="no Ray job server answers"):
        RayJobsLauncher(f"http://127.0.0.1:{port}").run("jobs.curate.t2i.score:run", spec, SilentReporter())


LAUNCH = """
import sys
from infra.job import JobSpec
from infra.launch import RayJobsLauncher
from infra.reporter import SilentReporter
from jobs.specs.t2i import ScoreSettings
spec = JobSpec[ScoreSettings].model_validate_json(open(sys.argv[2]).read())
print(RayJobsLauncher(sys.argv[1]).run("jobs.curate.t2i.score:run", spec, SilentReporter()).hash)
"""


@pytest.mark.chaos
def test_a_killed_launcher_finds_its_job_again(ray_jobs: str, tmp_path: Path) -> None:
    spec = _spec(tmp_path, "out", count=1500)
    (tmp_path / "spec.json").write_text(spec.model_dump_json(serialize_as_any=True))
    command = [sys.executable, "-c", LAUNCH, ray_jobs, str(tmp_path / "spec.json")]
    first = subprocess.Popen(command, cwd=ROOT)
    name = submission_id(spec)
    while not _jobs_named(ray_jobs, name):
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert find_manifest(spec.output) is None, "the job was over before the launcher was killed"
    (job,) = _jobs_named(ray_jobs, name)
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (same,) = _jobs_named(ray_jobs, name)
    assert same.start_time == job.start_time, "a second job was submitted"
    manifest = find_manifest(spec.output)
    assert manifest is not None
    assert second.stdout.split()[-1] == manifest.hash


@pytest.mark.chaos
def test_a_cancelled_run_stops_its_job(ray_jobs: str, tmp_path: Path) -> None:
    spec = _spec(tmp_path, "out", count=3000)
    (tmp_path / "spec.json").write_text(spec.model_dump_json(serialize_as_any=True))
    command = [sys.executable, "-c", LAUNCH, ray_jobs, str(tmp_path / "spec.json")]
    launcher = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    name = submission_id(spec)
    while not any(job.status == "RUNNING" for job in _jobs_named(ray_jobs, name)):
        time.sleep(0.2)
    time.sleep(2)  # the launcher follows the log by now
    launcher.send_signal(signal.SIGINT)
    launcher.wait(60)
    client = _connect(ray_jobs)
    ended = threading.Event()
    while client.get_job_status(name) == "RUNNING":
        assert not ended.wait(0.2)
    assert client.get_job_status(name) == "STOPPED"
    assert find_manifest(spec.output) is None


def test_submission_ids_differ_by_what_is_made_and_where() -> None:
    spec = JobSpec(
        asset="tokens/t2i", partition="t2i-0000|demo", fingerprint="ab", output="/a", settings=Filters()
    )
    others = [
        spec,
        spec.model_copy(update={"output": "/b"}),
        spec.model_copy(update={"partition": "t2i-0001|demo"}),
        spec.model_copy(update={"fingerprint": "cd"}),
    ]
    names = {submission_id(other) for other in others}
    assert len(names) == len(others)
    assert all(name.replace("-", "").isalnum() for name in names)
