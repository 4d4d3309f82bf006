"""What a served home does with many runs: backfills in order, pools, kills, and the sensor that packs.

Everything goes through the requests that the UI sends to a real `nextscale up`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from assets.build import asset_key
from assets.plan import materialize_stale, statuses
from assets.pools import CORES, GPU
from assets.project import Project
from infra.settings import prepare_dagster_home
from pipelines.automation import ASKED
from pipelines.definitions import build_definitions
from pipelines.project import load_recipe

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

COMMAND = str(Path(sys.executable).with_name("nextscale"))
TINY = str(Path(__file__).parent / "cli" / "tiny.yaml")
TWO_DROPS_TWO_LEVELS = [
    "sources.t2i.drop_shards=1",
    "curation.t2i.topics.by=caption",
    "levels.coarse={schedule: [1], cell: 16}",
    "stages.alignment.level=coarse",
]
DROPS = ["t2i-0000", "t2i-0001"]
LEVELS = ["coarse", "tiny"]
PATIENCE_S = 600
ENDS = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UPDATE = {"ops": {"make": {"config": {"selection": "t2i/*"}}}}
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "pipelines.definitions"}

LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
LIMIT = """mutation ($pool: String!, $limit: Int!) {
  setConcurrencyLimit(concurrencyKey: $pool, limit: $limit) }"""
TERMINATE = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"
TURN_ON = "mutation ($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { __typename } }"


@dataclass(frozen=True)
class Served:
    """A web server with its daemon, and the records they keep."""

    process: subprocess.Popen[str]
    port: int
    instance: dg.DagsterInstance

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer of one GraphQL request."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        (value,) = found["data"].values()
        return value

    def launch(self, job: str, config: dict[str, Any]) -> str:
        """Start a job as the launchpad does; the id of its run."""
        params = {"selector": REPOSITORY | {"jobName": job}, "runConfigData": config, "mode": "default"}
        return str(self.ask(LAUNCH, params=params)["run"]["runId"])

    def backfill(self, *assets: str) -> list[dg.RunRecord]:
        """Backfill all partitions of assets; the runs of it, the oldest first."""
        params = {"assetSelection": [{"path": key.split("/")} for key in assets], "allPartitions": True}
        name = self.ask(BACKFILL, params=params)["backfillId"]
        until(lambda: self._is_over(name), f"backfill {name} does not end")
        wanted = dg.RunsFilter(tags={"dagster/backfill": name})
        return list(self.instance.get_run_records(wanted, ascending=True))

    def _is_over(self, name: str) -> bool:
        found = self.instance.get_backfill(name)
        return found is not None and found.status.value.startswith(("COMPLETED", "FAILED"))

    def span(self, run: str) -> tuple[float, float]:
        """From when a run left the queue to its end."""
        stats = self.instance.get_run_stats(run)
        assert stats.launch_time is not None
        assert stats.end_time is not None
        return stats.launch_time, stats.end_time

    def spans(self, runs: list[dg.RunRecord]) -> list[tuple[float, float]]:
        """The spans of runs, by their beginning."""
        return sorted(self.span(record.dagster_run.run_id) for record in runs)

    def status(self, run: str) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run)
        assert found is not None
        return found.status

    def wait(self, run: str, *wanted: dg.DagsterRunStatus) -> dg.DagsterRunStatus:
        """The status of a run, once it is one of those wanted."""
        return until(
            lambda: (now := self.status(run)) in wanted and now, f"run {run} does not become {wanted}"
        )

    def process_of(self, run: str) -> int:
        """The process that makes a run, as its log tells."""
        logs = self.instance.all_logs(run, of_type=dg.DagsterEventType.ENGINE_EVENT)
        events = [entry.dagster_event for entry in logs if entry.dagster_event]
        return next(int(str(e.engine_event_data.metadata["pid"].value)) for e in events)


def until(look: Callable[[], Any], what: str) -> Any:
    """The first truthy value of a look; `what` went wrong when there is none for long."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(what)


@contextmanager
def serve(home: Path) -> Iterator[Served]:
    """`nextscale up` on a home that has a recipe, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NEXTSCALE_", "DAGSTER_"))}
    command = [COMMAND, "up", "--home", str(home), "--port", str(port)]
    with (
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process,
        dg.DagsterInstance.from_config(prepare_dagster_home(str(home))) as instance,
    ):
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("starting")
            assert process.stdout.readline().startswith("nextscale is at")
            pools = instance.event_log_storage.get_pool_limits
            until(pools, "the search for drops does not run")
            yield Served(process, port, instance)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def start_home(home: Path, *overrides: str) -> Project:
    """A home whose current recipe is the tiny one."""
    recipe = load_recipe(TINY, [*TWO_DROPS_TWO_LEVELS, *overrides])
    (home / "recipes").mkdir()
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    (home / "recipes" / "current.yaml").write_text(text)
    return Project(recipe, str(home))


@pytest.fixture(scope="module")
def project(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A home whose tokenizer is trained."""
    project = start_home(tmp_path_factory.mktemp("home"))
    with dg.DagsterInstance.from_config(prepare_dagster_home(project.home)) as instance:
        list(materialize_stale(project, instance, "+tokenizer/joint"))
    return project


@pytest.fixture(scope="module")
def served(project: Project) -> Iterator[Served]:
    with serve(Path(project.home)) as served:
        yield served


def one_after_the_other(spans: list[tuple[float, float]]) -> bool:
    return all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_backfill_of_tokens_goes_in_order_and_one_run_at_a_time(served: Served) -> None:
    runs = served.backfill("t2i/captioned", "tokens/t2i")
    assert {record.dagster_run.status for record in runs} == {dg.DagsterRunStatus.SUCCESS}
    by_key: dict[str, dict[str, dg.RunRecord]] = {"t2i/captioned": {}, "tokens/t2i": {}}
    for record in runs:
        (key,) = record.dagster_run.asset_selection or ()
        by_key[key.to_user_string()][record.dagster_run.tags["dagster/partition"]] = record
    curated, tokens = by_key.values()
    assert set(curated) == set(DROPS)
    assert set(tokens) == {f"{drop}|{level}" for drop in DROPS for level in LEVELS}
    for partition, record in tokens.items():
        (_, curated_at), (begun_at, _) = served.spans([curated[partition.split("|")[0]], record])
        assert curated_at <= begun_at
    assert one_after_the_other(served.spans(list(curated.values())))
    assert one_after_the_other(served.spans(list(tokens.values())))
    made = served.instance.get_materialized_partitions(asset_key("tokens/t2i"))
    assert made == set(tokens)


def test_a_raised_limit_lets_two_go_at_once(served: Served) -> None:
    """The control of the test before: without the limit, the same two runs overlap."""
    served.ask(LIMIT, pool=CORES, limit=2)
    try:
        runs = served.backfill("t2i/filtered")
    finally:
        served.ask(LIMIT, pool=CORES, limit=1)
    assert len(runs) == len(DROPS)
    assert not one_after_the_other(served.spans(runs))
    assert one_after_the_other(served.spans(served.backfill("t2i/filtered")))


def test_new_tokens_are_packed_once_by_the_sensor(served: Served, project: Project) -> None:
    served.ask(TURN_ON, sensor=REPOSITORY | {"sensorName": "pack_new_drops"})
    asked = dg.RunsFilter(tags=ASKED)
    (run, *_) = until(lambda: served.instance.get_runs(asked), "the sensor asks for nothing")
    assert served.wait(run.run_id, *ENDS) == dg.DagsterRunStatus.SUCCESS
    states = {(s.asset, s.partition): s.state for s in statuses(project, served.instance)}
    assert states["packs/alignment", None] == states["packs/pretrain_256", None] == "fresh"
    assert states["training/alignment", None] == "missing"
    sensor = build_definitions(lambda: project).resolve_sensor_def("pack_new_drops")
    with dg.build_sensor_context(instance=served.instance) as context:
        answer = sensor(context)
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == "the packs hold every drop"
    assert len(served.instance.get_runs(asked)) == 1


def test_packers_are_compared_from_the_launchpad(served: Served) -> None:
    run = served.launch("compare_packers", {"ops": {"simulate": {"config": {"ranks": 2, "fill": 0.5}}}})
    assert served.wait(run, *ENDS) == dg.DagsterRunStatus.SUCCESS
    logs = served.instance.all_logs(run, of_type=dg.DagsterEventType.STEP_OUTPUT)
    shown = [entry.dagster_event.step_output_data.metadata for entry in logs if entry.dagster_event]
    assert {"table", "picture: packers", "path"} <= shown[0].keys()
    table = str(shown[0]["table"].value)
    assert all(f"| {name} |" in table for name in ("balanced", "fixed budget", "fixed length"))


def test_of_two_updates_one_waits_and_a_killed_one_lets_it_go(served: Served) -> None:
    first, second = (served.launch("bring_up_to_date", UPDATE) for _ in range(2))
    served.wait(first, dg.DagsterRunStatus.STARTED)
    assert served.status(second) == dg.DagsterRunStatus.QUEUED
    os.kill(served.process_of(first), signal.SIGKILL)
    assert served.wait(first, *ENDS) == dg.DagsterRunStatus.FAILURE
    assert served.wait(second, *ENDS) == dg.DagsterRunStatus.SUCCESS
    assert one_after_the_other([served.span(first), served.span(second)])
    slots = served.instance.event_log_storage.get_concurrency_infos([CORES, GPU])
    assert all(not info.claimed_slots for info in slots.values())


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which nothing is made yet."""
    home = tmp_path_factory.mktemp("untouched")
    start_home(home)
    return home


def test_a_cancelled_update_leaves_nothing_running(untouched: Path) -> None:
    with serve(untouched) as served:
        update = served.launch("bring_up_to_date", UPDATE)
        inner = until(lambda: made_by_a_walk(served), "the walk makes no run")
        served.ask(TERMINATE, run=update)
        assert served.wait(update, *ENDS) == dg.DagsterRunStatus.CANCELED
        assert served.wait(inner, *ENDS) != dg.DagsterRunStatus.SUCCESS


def test_runs_of_a_server_that_was_killed_hold_nothing_after_the_next_start(untouched: Path) -> None:
    with serve(untouched) as served:
        lost = served.launch("bring_up_to_date", UPDATE)
        served.wait(lost, dg.DagsterRunStatus.STARTED)
        for process in {served.process_of(lost), *children(served.process.pid)}:
            os.kill(process, signal.SIGKILL)
        assert served.status(lost) == dg.DagsterRunStatus.STARTED
    with serve(untouched) as served:
        run = served.launch("bring_up_to_date", UPDATE)
        assert served.wait(run, *ENDS) == dg.DagsterRunStatus.SUCCESS
        assert served.status(lost) == dg.DagsterRunStatus.FAILURE


def made_by_a_walk(served: Served) -> str | None:
    """A run that a walk has begun."""
    started = dg.RunsFilter(job_name="__ephemeral_asset_job__", statuses=[dg.DagsterRunStatus.STARTED])
    return next((run.run_id for run in served.instance.get_runs(started)), None)


def children(process: int) -> list[int]:
    """All processes below one."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [one for child in map(int, found) for one in (child, *children(child))]
