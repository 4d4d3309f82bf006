"""Walking the graph: what is fresh stays, what is stale is made, what is wrong stops with one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from small_project import small_recipe

from assets.build import asset_key
from assets.locate import NotReadyError, all_places, current_drops, locate
from assets.plan import StageResult, materialize_stale, statuses
from assets.project import Project
from assets.sources import raw_key, report_drops
from infra.errors import UserError
from infra.reporter import SilentReporter
from infra.settings import prepare_dagster_home

Curated = tuple[Project, dg.DagsterInstance, list[StageResult]]
STAGES = ["scored", "filtered", "topics", "balanced", "captioned"]


def latest(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str) -> dg.AssetMaterialization:
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition])
    event = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert event is not None
    return event


def test_a_walk_makes_every_drop_in_order(curated: Curated) -> None:
    _, instance, results = curated
    made = [(result.asset, result.partition) for result in results]
    assert made == [(f"t2i/{s}", drop) for drop in ("t2i-0000", "t2i-0001") for s in STAGES]
    assert not any(result.reused for result in results)
    assert [r.counts.total for r in results if r.asset == "t2i/filtered"] == [60, 60]
    for drop in current_drops(instance)["t2i"]:
        counts = [r.counts for r in results if r.partition == drop]
        assert [c.kept for c in counts[:-1]] == [c.total for c in counts[1:]]


def test_assets_of_one_drop_share_a_run(curated: Curated) -> None:
    _, instance, _ = curated
    runs = Counter(run.tags["dagster/partition"] for run in instance.get_runs())
    assert runs == {"t2i-0000": 1, "t2i-0001": 1}


def test_a_second_walk_does_nothing(curated: Curated) -> None:
    project, instance, results = curated
    before = len(instance.get_runs())
    again = list(materialize_stale(project, instance, "t2i/*"))
    assert [(r.asset, r.partition, r.counts) for r in again] == [
        (r.asset, r.partition, r.counts) for r in results
    ]
    assert all(result.reused for result in again)
    assert len(instance.get_runs()) == before


def test_statuses_tell_made_from_missing(curated: Curated) -> None:
    project, instance, _ = curated
    found = {(s.asset, s.partition): s.state for s in statuses(project, instance)}
    assert found["t2i/captioned", "t2i-0001"] == "fresh"
    assert found["tokenizer/joint", None] == "missing"


def test_a_page_shows_counts_reasons_columns_and_pictures(curated: Curated) -> None:
    _, instance, results = curated
    event = latest(instance, asset_key("t2i/filtered"), "t2i-0000")
    values = {name: value.value for name, value in event.metadata.items()}
    assert values["in"] == values["kept"] + values["rejected"] + values["errored"] == 60
    assert values["path"] == results[1].folder
    pictures = [str(value) for name, value in values.items() if name.startswith("picture")]
    assert pictures
    assert all("](data:image/png;base64," in text and len(text) < 150_000 for text in pictures)
    columns = {column.name for column in values["dagster/column_schema"].columns}
    assert {"sample_id", "source", "status", "reason", "entropy"} <= columns
    tags = event.tags or {}
    assert tags["nextscale/checks"] == "passed"
    assert len(tags["dagster/data_version"]) == 64


def test_raw_data_has_a_version_per_drop(curated: Curated) -> None:
    project, instance, _ = curated
    assert report_drops(project, instance)["t2i"] == ["t2i-0000", "t2i-0001"]
    event = latest(instance, raw_key("t2i"), "t2i-0000")
    assert event.metadata["kept"].value == 60
    raw = dg.AssetRecordsFilter(asset_key=raw_key("t2i"))
    assert len(instance.fetch_materializations(raw, limit=10).records) == 2, "nothing new, nothing said"


def test_a_changed_setting_makes_only_what_depends_on_it(
    curated: Curated, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    project, old, _ = curated
    copy = Project(small_recipe("curation.t2i.captions.min_characters=4"), project.home)
    results = list(materialize_stale(copy, old, "t2i/*"))
    assert {(r.asset, r.reused) for r in results} == {(f"t2i/{s}", s != "captioned") for s in STAGES}
    back = list(materialize_stale(project, old, "t2i/*"))
    assert all(result.reused for result in back), "going back to a recipe finds its outputs"


def test_what_dagster_does_not_know_is_shown_but_not_made_again(
    curated: Curated, instance: dg.DagsterInstance
) -> None:
    project, _, _ = curated
    assert {s.state for s in statuses(project, instance)} == {"missing"}
    results = list(materialize_stale(project, instance, "t2i/filtered,t2i/topics"))
    assert len(results) == 4
    assert all(result.reused for result in results)
    assert latest(instance, asset_key("t2i/topics"), "t2i-0001")


def test_a_failed_check_stops_the_walk_with_one_line(
    curated: Curated, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    project, _, results = curated
    home = tmp_path / "home"
    folder = next(r.folder for r in results if r.asset == "t2i/captioned")
    shutil.copytree(project.home, home, ignore=shutil.ignore_patterns("dagster"))
    project = replace(project, home=str(home))
    tar = next((home / Path(folder).relative_to(curated[0].home)).rglob("*.tar"))
    data = bytearray(tar.read_bytes())
    at = data.index(b"IDAT") + 20
    data[at : at + 40] = bytes(40)  # the first picture does not decode any more
    tar.write_bytes(data)
    made: list[str] = []
    with pytest.raises(UserError, match=r"^t2i/captioned \[t2i-0000\]: check decodable failed: .*\.png does"):
        made.extend(result.asset for result in materialize_stale(project, instance, "t2i/*"))
    assert made == [f"t2i/{stage}" for stage in STAGES[:-1]]
    found = {(s.asset, s.partition): s.state for s in statuses(project, instance)}
    assert found["t2i/captioned", "t2i-0000"] == "failed"
    assert found["t2i/captioned", "t2i-0001"] == "missing"


def test_a_failed_input_is_not_passed_by_selecting_what_comes_after(
    curated: Curated, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    project, _, results = curated
    home = tmp_path / "home"
    folder = next(r.folder for r in results if r.asset == "t2i/balanced")
    shutil.copytree(project.home, home, ignore=shutil.ignore_patterns("dagster"))
    project = replace(project, home=str(home))
    catalogue = home / Path(folder).relative_to(curated[0].home) / "data" / "catalogue.parquet"
    table = pq.read_table(catalogue)
    pq.write_table(table.slice(1), catalogue)  # a record is lost
    broken = r"^t2i/balanced \[t2i-0000\]: check conservation failed: "
    with pytest.raises(UserError, match=broken):
        list(materialize_stale(project, instance, "t2i/*"))
    with pytest.raises(UserError, match=broken):
        list(materialize_stale(project, instance, "t2i/captioned"))
    pq.write_table(table, catalogue)
    made = list(materialize_stale(project, instance, "t2i/captioned"))
    assert [(result.asset, result.partition) for result in made] == [
        ("t2i/captioned", "t2i-0000"),
        ("t2i/captioned", "t2i-0001"),
    ], "the check of the input holds again"


def test_a_users_mistake_arrives_as_it_is(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    recipe = small_recipe(f"sources.t2i={{kind: folder, uri: {tmp_path / 'nothing'}}}")
    with pytest.raises(UserError, match="nothing: no such folder"):
        list(materialize_stale(Project(recipe, str(tmp_path)), instance))


def test_a_jobs_own_user_error_comes_out_of_the_run(curated: Curated, instance: dg.DagsterInstance) -> None:
    project, _, _ = curated
    recipe = project.recipe.model_copy(update={"launcher": "ray_jobs", "ray_address": "http://127.0.0.1:1"})
    recipe = recipe.model_copy(update={"seed": 1})  # another seed: nothing to reuse
    with pytest.raises(UserError, match="no Ray job server answers"):
        list(materialize_stale(replace(project, recipe=recipe), instance, "t2i/scored"))


def test_places_are_known_once_their_inputs_are(curated: Curated, tmp_path: Path) -> None:
    project, instance, results = curated
    drops = current_drops(instance)
    folders = {place.folder for place in all_places(project, drops) if place.manifest}
    assert folders == {result.folder for result in results}
    assert locate(project, drops, "tokenizer/pixel").manifest is None
    with pytest.raises(NotReadyError, match="tokenizer/pixel"):
        locate(project, drops, "tokens/t2i", "t2i-0000|demo")
    with pytest.raises(UserError, match="Did you mean 't2i/captioned'"):
        locate(project, drops, "t2i/captiond", "t2i-0000")
    with pytest.raises(NotReadyError, match="no data is discovered"):
        locate(project, {"t2i": []}, "tokenizer/pixel")


def test_progress_reaches_who_watches(curated: Curated, instance: dg.DagsterInstance) -> None:
    project, _, _ = curated
    heard: list[tuple[str, str | None, int]] = []

    class Listener(SilentReporter):
        def __init__(self, asset: str, partition: str | None) -> None:
            self.place = (asset, partition)

        def progress(self, done: int, total: int, unit: str) -> None:
            heard.append((*self.place, done))

    recipe = project.recipe.model_copy(update={"seed": 2})
    watched = replace(project, recipe=recipe, watch=Listener)
    list(materialize_stale(watched, instance, "t2i/scored"))
    assert ("t2i/scored", "t2i-0000", 60) in heard
    assert ("t2i/scored", "t2i-0001", 60) in heard


WALK = """
import sys
import dagster as dg
from assets.plan import materialize_stale
from assets.project import Project
from infra.settings import prepare_dagster_home
sys.path.insert(0, sys.argv[2])
from small_project import small_recipe
with dg.DagsterInstance.from_config(prepare_dagster_home(sys.argv[1])) as instance:
    list(materialize_stale(Project(small_recipe(), sys.argv[1]), instance, "t2i/scored"))
"""


@pytest.mark.chaos
def test_a_killed_walk_ends_in_dagster_too_and_goes_on(ray_session: None, tmp_path: Path) -> None:
    home = str(tmp_path)
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    with dg.DagsterInstance.from_config(prepare_dagster_home(home)) as instance:
        command = [sys.executable, "-c", WALK, home, str(Path(__file__).parent)]
        walk = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        while not instance.get_runs(started):
            assert walk.poll() is None
            time.sleep(0.1)
        walk.kill()
        walk.wait()
        (run,) = instance.get_runs(started)
        results = list(materialize_stale(Project(small_recipe(), home), instance, "t2i/scored"))
        assert [result.counts.total for result in results] == [60, 60]
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.status == dg.DagsterRunStatus.FAILURE
