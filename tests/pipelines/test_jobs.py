"""Jobs started by hand: every asset is in one, and each can be run to its end in one go."""

from __future__ import annotations

import pytest

from assets.graph import job_assets
from assets.job_asset import JobAsset
from jobs.recipe import Recipe
from pipelines.jobs import grouped
from pipelines.project import DEMO_RECIPE, load_recipe

RECIPES = {
    "demo": [],
    "faces": ["tokenizer.face_oversampling=3"],
    "published encoder": ["tokenizer.semantic.pretrained=google/siglip2-so400m-patch16-naflex"],
    "captions say the topic": ["curation.t2i.topics.by=caption"],
}


def graph(recipe: Recipe) -> dict[str, JobAsset]:
    return {asset.key: asset for asset in job_assets(recipe)}


def interrupted(jobs: dict[str, list[str]], assets: dict[str, JobAsset]) -> list[str]:
    """Jobs that need another job between two of their own assets."""
    owner = {key: name for name, keys in jobs.items() for key in keys}
    found = []
    for name, keys in jobs.items():
        reached = {key for key in assets if owner[key] != name and set(assets[key].inputs) & set(keys)}
        while more := {k for k in assets if set(assets[k].inputs) & reached and owner[k] != name} - reached:
            reached |= more
        if any(set(assets[key].inputs) & reached for key in keys):
            found.append(name)
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_every_asset_is_in_one_job_that_nothing_interrupts(name: str) -> None:
    assets = graph(load_recipe(DEMO_RECIPE, RECIPES[name]))
    jobs = {job: [asset.key for asset in found] for job, found in grouped(list(assets.values())).items()}
    assert sorted(key for keys in jobs.values() for key in keys) == sorted(assets)
    assert interrupted(jobs, assets) == []
    for found in grouped(list(assets.values())).values():
        assert (
            len({(asset.partitioning, asset.family) for asset in found if asset.partitioning != "none"}) <= 1
        )


def test_a_job_over_what_waits_for_others_is_seen() -> None:
    assets = graph(load_recipe(DEMO_RECIPE))
    jobs = {job: [asset.key for asset in found] for job, found in grouped(list(assets.values())).items()}
    joined = {**jobs, "curate_edit": [*jobs["curate_edit"], *jobs.pop("curate_edit_2")]}
    del joined["curate_edit_2"]
    assert "curate_edit" in interrupted(joined, assets)


def test_jobs_come_in_an_order_in_which_they_can_be_run() -> None:
    made: set[str] = set()
    recipe = load_recipe(DEMO_RECIPE)
    raw = {f"raw/{family}" for family in recipe.sources.given()}
    for assets in grouped(job_assets(recipe)).values():
        keys = {asset.key for asset in assets}
        assert {key for asset in assets for key in asset.inputs} <= made | keys | raw
        made |= keys
