"""Edits in the graph: two drops of drawn edits, walked through Dagster with every check."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assets.build import CHECKS_TAG, asset_key
from assets.curation.edit import assets
from assets.locate import Locator, current_drops
from assets.plan import materialize_stale
from assets.project import Project
from infra.manifest import read_manifest
from infra.settings import prepare_dagster_home
from jobs.recipe import Recipe
from pipelines.cli.conservation import broken_links
from pipelines.project import DEMO_RECIPE, load_recipe

EDITS = [
    "sources.edit.kind=scene_edits",
    "sources.edit.count=120",
    "sources.edit.shard_records=60",
    "sources.edit.drop_shards=1",
    "sources.edit.wrong=0.05",
]
FOUND_ALONE = "curation.edit.synthetic=null"
ASKED = ["vlm.kind=openai", "vlm.base_url=http://127.0.0.1:8000/v1", "vlm.model=judge"]
STAGES = ["edit/scored", "edit/size_matched", "edit/judged", "edit/subsets", "edit/audited", "edit/mixed"]


def recipe(*overrides: str) -> Recipe:
    return load_recipe(DEMO_RECIPE, [*EDITS, "stages.pretrain_256.mixture={t2i: 1}", *overrides])


def test_there_are_edits_where_the_recipe_wants_them() -> None:
    assert [asset.key for asset in assets(recipe(FOUND_ALONE))] == STAGES
    assert assets(recipe("curation.edit=null")) == []
    only_made = load_recipe(DEMO_RECIPE, ["sources.edit=null", "curation.edit.synthetic.per_picture=1"])
    (mixed,) = assets(only_made)
    assert (mixed.key, mixed.inputs, mixed.records_from) == (
        "edit/mixed",
        ("edit/synthetic",),
        ("edit/synthetic",),
    )
    both = assets(recipe("curation.edit.synthetic.per_picture=1"))[-1]
    assert both.inputs == both.records_from == ("edit/audited", "edit/synthetic")


def test_a_threshold_changes_only_what_depends_on_it() -> None:
    """Fingerprints from the same inputs: what is named anew is what a recipe's change makes again."""

    def names(*overrides: str) -> dict[str, str]:
        wanted = recipe(FOUND_ALONE, *ASKED, *overrides)
        return {asset.key: asset.fingerprint(wanted, None, {}) for asset in assets(wanted)}

    def changed(*overrides: str, judge: str = "vlm") -> set[str]:
        by = f"curation.edit.judge={judge}"
        before, after = names(by), names(by, *overrides)
        return {key for key in before if before[key] != after[key]}

    assert changed("curation.edit.filters.min_side=32") == {"edit/size_matched"}
    assert changed("curation.edit.max_bad=0.1") == {"edit/subsets"}
    assert changed("curation.edit.min_score=5") == {"edit/subsets", "edit/audited"}
    less = "curation.edit.max_changed=0.5"
    assert changed(less) == set(), "a model sees for itself how much has changed"
    assert changed(less, judge="measured") == {"edit/subsets", "edit/audited"}, "no source is read again"
    assert changed("curation.edit.met=1") == {"edit/mixed"}
    assert changed("vlm.model=other") == {"edit/judged"}
    assert changed("vlm.concurrency=1", "vlm.timeout=3") == set()


@pytest.mark.chaos
def test_a_walk_over_two_drops_passes_every_check(ray_session: None, tmp_path: Path) -> None:
    wanted = recipe("curation.edit.min_judged=1000", "curation.edit.met=1", FOUND_ALONE)
    project = Project(wanted, str(tmp_path / "home"))
    with dg.DagsterInstance.from_config(prepare_dagster_home(project.home)) as instance:
        results = list(materialize_stale(project, instance, "edit/*"))
        drops = ["edit-0000", "edit-0001"]
        first = [(stage, drop) for drop in drops for stage in STAGES[:3]]
        audited = [("edit/audited", drop) for drop in drops]
        assert [(r.asset, r.partition) for r in results] == [
            *first,
            ("edit/subsets", None),
            *audited,
            ("edit/mixed", None),
        ]
        places = [Locator(project, current_drops(instance)).place(r.asset, r.partition) for r in results]
        assert broken_links(places) == []
        for key in STAGES:
            event = instance.get_latest_materialization_event(asset_key(key))
            assert event is not None
            assert event.asset_materialization is not None
            assert (event.asset_materialization.tags or {})[CHECKS_TAG] == "passed"
        again = list(materialize_stale(project, instance, "edit/*"))
        assert all(result.reused for result in again)
    mixed = read_manifest(results[-1].folder)
    assert mixed.counts.total == sum(r.counts.kept for r in results if r.asset == "edit/audited")
    assert len({task["kept"] for task in mixed.metadata["tasks"].values()}) == 1
