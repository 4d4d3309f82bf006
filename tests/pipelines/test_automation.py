"""Bringing packs up to date: the job by hand, the sensor and the schedule, on real Dagster records."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from small_project import small_recipe

from assets.forgotten import Forgotten, add_forgotten
from assets.locate import Locator, current_drops
from assets.pools import CORES, GPU, ensure_limits
from assets.project import Project
from assets.sources import report_drops
from infra.settings import HOME_VARIABLE, RECIPE_VARIABLE, prepare_dagster_home
from pipelines.bring_up_to_date import ALONE
from pipelines.cli.workspace import begin
from pipelines.definitions import build_definitions
from pipelines.project import project_from_environment

FEW = ("sources.t2i.count=24", "sources.t2i.shard_records=12", "sources.t2i.drop_shards=1")
CURATION = ["t2i/scored", "t2i/filtered", "t2i/topics", "t2i/balanced", "t2i/captioned"]
Made = tuple[Project, dg.DagsterInstance, dg.ExecuteInProcessResult]


def bring_up_to_date(
    project: Project, instance: dg.DagsterInstance, selection: str
) -> dg.ExecuteInProcessResult:
    job = build_definitions(lambda: project).resolve_job_def("bring_up_to_date")
    config = {"ops": {"make": {"config": {"selection": selection}}}}
    return job.execute_in_process(config, instance=instance, raise_on_error=False)


def figures(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What the run's page shows of its work."""
    (output,) = [e for e in result.all_node_events if e.is_successful_output and e.step_key == "make"]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the step that failed says."""
    (event,) = [e for e in result.all_node_events if e.is_step_failure]
    return str(event.step_failure_data)


@pytest.fixture(scope="module")
def made(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Two drops of twelve pictures, curated by a run of the job."""
    project = Project(small_recipe(*FEW), str(tmp_path_factory.mktemp("made")))
    with dg.DagsterInstance.from_config(prepare_dagster_home(project.home)) as instance:
        yield project, instance, bring_up_to_date(project, instance, "t2i/*")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Records without history."""
    with dg.DagsterInstance.from_config(prepare_dagster_home(str(tmp_path / "history"))) as instance:
        yield instance


# The job -------------------------------------------------------------------------------------


def test_the_job_makes_what_is_stale_and_a_second_run_nothing(made: Made) -> None:
    project, instance, first = made
    assert first.success
    assert (figures(first)["made"], figures(first)["reused"]) == (2 * len(CURATION), 0)
    assert "t2i/captioned [t2i-0001]: " in figures(first)["outputs"]
    inner = instance.get_runs(dg.RunsFilter(job_name="__ephemeral_asset_job__"))
    assert {run.tags["dagster/partition"] for run in inner} == {"t2i-0000", "t2i-0001"}
    assert {run.status for run in inner} == {dg.DagsterRunStatus.SUCCESS}
    again = figures(bring_up_to_date(project, instance, "t2i/*"))
    assert (again["made"], again["reused"]) == (0, 2 * len(CURATION))
    assert len(instance.get_runs()) == len(inner) + 2, "what is fresh needs no run"


def test_a_run_of_the_job_goes_alone(made: Made) -> None:
    _, instance, result = made
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags.items() >= ALONE.items()
    assert run.run_op_concurrency is not None
    assert run.run_op_concurrency.all_pools == {CORES, GPU}


def test_a_misspelt_selection_fails_with_the_nearest_name(made: Made, instance: dg.DagsterInstance) -> None:
    result = bring_up_to_date(made[0], instance, "t2i/filterd")
    assert not result.success
    assert "Did you mean 't2i/filtered'" in failure(result)


def test_a_failed_check_fails_the_run_and_says_why(
    made: Made, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    home = shutil.copytree(made[0].home, tmp_path / "home", ignore=shutil.ignore_patterns("dagster"))
    tar = next(home.rglob("*.tar"))
    data = bytearray(tar.read_bytes())
    at = data.index(b"IDAT") + 20
    data[at : at + 40] = bytes(40)  # the first picture does not decode any more
    tar.write_bytes(data)
    result = bring_up_to_date(replace(made[0], home=str(home)), instance, "t2i/*")
    assert not result.success
    assert "check decodable failed" in failure(result)


@pytest.mark.parametrize(
    ("stage", "told"),
    [("alignmnt", "Did you mean 'packs/alignment'"), (None, "is not finished. Materialize it first")],
)
def test_packers_are_not_compared_without_a_stages_tokens(made: Made, stage: str | None, told: str) -> None:
    project, instance, _ = made
    job = build_definitions(lambda: project).resolve_job_def("compare_packers")
    config = {"ops": {"simulate": {"config": {"stage": stage}}}}
    result = job.execute_in_process(config, instance=instance, raise_on_error=False)
    assert not result.success
    assert told in failure(result)


# The sensor and the schedule -----------------------------------------------------------------


def ask(project: Project, instance: dg.DagsterInstance) -> tuple[dg.RunRequest | None, str]:
    """What the sensor `pack_new_drops` asks for, or None; and its words."""
    return tick(build_definitions(lambda: project), instance)


def tick(
    definitions: dg.Definitions, instance: dg.DagsterInstance, sensor: str = "pack_new_drops"
) -> tuple[dg.RunRequest | None, str]:
    """The same of a sensor of definitions that may have been there for long."""
    with dg.build_sensor_context(instance=instance) as context:
        answer = definitions.resolve_sensor_def(sensor)(context)
        words = answer.skip_message if isinstance(answer, dg.SkipReason) else context.cursor
    return answer if isinstance(answer, dg.RunRequest) else None, str(words)


def ask_at_night(project: Project, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """What the schedule `nightly` asks for, or why not."""
    schedule = build_definitions(lambda: project).resolve_schedule_def("nightly")
    with dg.build_schedule_context(instance=instance) as context:
        answer = schedule(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def selected(request: dg.RunRequest | dg.SkipReason | None) -> list[str]:
    assert isinstance(request, dg.RunRequest)
    return list(request.run_config["ops"]["make"]["config"]["selection"].split(","))


def submit(project: Project, instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.DagsterRun:
    """A run as Dagster's daemon makes it from a request; it waits."""
    job = build_definitions(lambda: project).resolve_job_def("bring_up_to_date")
    return instance.create_run_for_job(job, run_config=request.run_config, tags=request.tags)


@pytest.fixture
def folder(tmp_path: Path) -> Project:
    """A folder of pictures, two to a drop; only their names matter here."""
    add_drop(tmp_path / "pictures")
    source = f"sources.t2i={{kind: folder, uri: {tmp_path / 'pictures'}, shard_records: 2, drop_shards: 1}}"
    return Project(small_recipe(source), str(tmp_path))


def add_drop(pictures: Path) -> None:
    pictures.mkdir(exist_ok=True)
    start = len(list(pictures.iterdir()))
    for number in range(start, start + 2):
        (pictures / f"{number:03d}.png").write_bytes(b"")


def test_a_new_drop_is_asked_for_once(folder: Project, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    report_drops(folder, instance)
    request, words = ask(folder, instance)
    assert request is not None
    assert "t2i/scored: 1 missing" in words
    assert request.tags["nextscale/why"] == words
    assert ask(folder, instance)[0] == request, "the same state has the same key, which Dagster runs once"
    run = submit(folder, instance, request)
    assert ask(folder, instance) == (None, f"run {run.run_id} is at it. {words}")
    instance.report_run_failed(run)
    assert ask(folder, instance)[0] is None
    assert f"run {run.run_id} ended before all was made" in ask(folder, instance)[1]
    add_drop(tmp_path / "pictures")
    assert ask(folder, instance)[0] is None, "a drop counts when it is discovered"
    report_drops(folder, instance)
    more, words = ask(folder, instance)
    assert more is not None
    assert "t2i/scored: 2 missing" in words
    assert more.run_key != request.run_key


def test_a_state_that_comes_back_is_asked_for_again(
    folder: Project, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    keys = []
    changed = replace(folder, recipe=folder.recipe.model_copy(update={"seed": 7}))
    report_drops(folder, instance)
    for project in (folder, changed, folder):
        request, _ = ask(project, instance)
        assert request is not None
        keys.append(request.run_key)
        instance.report_run_failed(submit(project, instance, request))
    assert len(set(keys)) == 3


def test_no_training_is_asked_for(made: Made, folder: Project, instance: dg.DagsterInstance) -> None:
    report_drops(folder, instance)
    assert selected(ask(folder, instance)[0]) == selected(ask_at_night(folder, instance)) == CURATION
    project, history, _ = made
    request, words = ask(project, history)
    assert request is None
    assert words.startswith("all waits for the training of tokenizer/semantic, tokenizer/pixel, tokenizer/jo")
    night = ask_at_night(project, history)
    assert isinstance(night, dg.SkipReason)
    assert night.skip_message == words


@pytest.mark.parametrize(
    ("topics", "jobs"),
    [
        ("caption", ["train_semantic_encoder", "train_tokenizer", "train_tokenizer_2"]),
        ("picture", ["train_semantic_encoder", "train_tokenizer"]),
    ],
)
def test_the_jobs_that_all_waits_for_are_named_in_order(made: Made, topics: str, jobs: list[str]) -> None:
    recipe = small_recipe(*FEW, f"curation.t2i.topics.by={topics}")
    project, history = replace(made[0], recipe=recipe), made[1]
    request, words = ask(project, history)
    assert request is None
    trainings = ["tokenizer/semantic", "tokenizer/pixel", "tokenizer/joint"]
    told = f"all waits for the training of {', '.join(trainings)}: start {', then '.join(jobs)}. "
    assert words.startswith(told)
    definitions = build_definitions(lambda: project)
    made_by = [definitions.resolve_job_def(name).asset_layer.selected_asset_keys for name in jobs]
    together = {key.to_user_string() for keys in made_by for key in keys}
    assert set(trainings) <= together


def test_of_a_run_that_succeeded_nothing_is_to_be_mended(made: Made, tmp_path: Path) -> None:
    project = replace(made[0], home=str(shutil.copytree(made[0].home, tmp_path / "home")))
    with dg.DagsterInstance.from_config(prepare_dagster_home(project.home)) as instance:
        locator = Locator(project, current_drops(instance))
        first, second = (Path(locator.place("t2i/captioned", f"t2i-000{n}").folder) for n in range(2))
        shutil.rmtree(first)
        request, why = ask(project, instance)
        assert request is not None
        assert "t2i/captioned: 1 stale" in why
        job = build_definitions(lambda: project).resolve_job_def("bring_up_to_date")
        run = job.execute_in_process(request.run_config, instance=instance, tags=request.tags)
        assert ask(project, instance)[1].startswith("all waits for the training of ")
        shutil.rmtree(first)
        away = second.rename(tmp_path / "away")
        more, words = ask(project, instance)
        assert more is not None, "more is to be done than that run was for"
        assert "t2i/captioned: 2 stale" in words
        assert more.tags["nextscale/state"] == request.tags["nextscale/state"]
        away.rename(second)
        again, words = ask(project, instance)
        assert again is None
        assert words.startswith(f"run {run.run_id} succeeded, and as much is to be done again: start it")
        assert words.endswith(f". {why}")


def serve(project: Project, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment that `nextscale up` gives its processes; the file of the home's recipe."""
    recipe = home / "recipes" / "current.yaml"
    recipe.parent.mkdir()
    recipe.write_text(yaml.safe_dump(project.recipe.model_dump(mode="json")))
    monkeypatch.setenv(HOME_VARIABLE, str(home))
    monkeypatch.setenv(RECIPE_VARIABLE, str(recipe))
    return recipe


def forget_something(home: str) -> None:
    add_forgotten(home, [Forgotten(sample_id="4f0c2a19b5d0e7c3", family="t2i", records=("a#b",))])


def change_the_recipe(home: str) -> None:
    begin(home, f"{home}/recipes/current.yaml", ["seed=7"])


@pytest.mark.parametrize("change", [forget_something, change_the_recipe])
def test_a_server_judges_what_runs_make_now(
    change: Callable[[str], None],
    folder: Project,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serve(folder, tmp_path, monkeypatch)
    report_drops(folder, instance)
    server = build_definitions(project_from_environment)
    before = tick(server, instance)
    assert tick(server, instance) == before
    change(folder.home)
    assert tick(server, instance) != before
    assert tick(server, instance) == tick(build_definitions(project_from_environment), instance)


def test_a_server_finds_the_drops_of_the_recipe_of_now(
    folder: Project, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = serve(folder, tmp_path, monkeypatch)
    server = build_definitions(project_from_environment)
    tick(server, instance, "discover")
    assert current_drops(instance)["t2i"] == ["t2i-0000"]
    add_drop(tmp_path / "pictures")
    begin(folder.home, str(recipe), ["sources.t2i.shard_records=1"])
    tick(server, instance, "discover")
    assert len(current_drops(instance)["t2i"]) == 4


def test_a_recipe_that_cannot_be_read_is_a_reason(
    folder: Project, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = serve(folder, tmp_path, monkeypatch)
    server = build_definitions(project_from_environment)
    recipe.write_text("seeds: 7\n")
    for sensor in ("discover", "pack_new_drops"):
        request, words = tick(server, instance, sensor)
        assert request is None
        assert words.startswith(f"{recipe}:1: ")


def test_the_schedule_finds_drops_itself_and_asks_again_each_night(
    folder: Project, instance: dg.DagsterInstance
) -> None:
    request = ask_at_night(folder, instance)
    assert selected(request) == CURATION
    assert isinstance(request, dg.RunRequest)
    run = submit(folder, instance, request)
    assert isinstance(ask_at_night(folder, instance), dg.SkipReason), "one is on its way"
    instance.report_run_failed(run)
    assert selected(ask_at_night(folder, instance)) == CURATION


def test_a_source_that_cannot_be_read_is_a_reason(
    folder: Project, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "pictures")
    night = ask_at_night(folder, instance)
    assert isinstance(night, dg.SkipReason)
    assert "no such folder" in str(night.skip_message)


def test_nothing_but_the_search_for_data_is_on_from_the_start(folder: Project) -> None:
    definitions = build_definitions(lambda: folder)
    on = {s.name for s in definitions.sensors or () if s.default_status == dg.DefaultSensorStatus.RUNNING}
    assert on == {"discover"}
    (schedule,) = definitions.schedules or ()
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


# Pools ---------------------------------------------------------------------------------------


def test_every_asset_made_has_a_pool(folder: Project) -> None:
    graph = build_definitions(lambda: folder).resolve_asset_graph()
    pools = {key.to_user_string(): graph.get(key).pools for key in graph.materializable_asset_keys}
    assert pools["t2i/scored"] == pools["packs/alignment"] == {CORES}
    assert pools["tokens/t2i"] == pools["training/alignment"] == {GPU}
    assert all(pools.values())


def test_pools_have_a_limit_of_one_which_a_user_can_raise(instance: dg.DagsterInstance) -> None:
    ensure_limits(instance)
    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits == {CORES: 1, GPU: 1}
    instance.event_log_storage.set_concurrency_slots(CORES, 3)  # what the UI does
    ensure_limits(instance)
    limits = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
    assert limits == {CORES: 3, GPU: 1}


def test_where_dagsters_settings_have_no_pools_nothing_is_limited(tmp_path: Path) -> None:
    home = prepare_dagster_home(str(tmp_path))
    config = Path(home) / "dagster.yaml"
    settings = yaml.safe_load(config.read_text())
    del settings["concurrency"]["pools"]
    config.write_text(yaml.safe_dump(settings))
    with dg.DagsterInstance.from_config(home) as instance:
        ensure_limits(instance)
        assert instance.event_log_storage.get_pool_limits() == []
