"""Assets of tokens: what decides what they are, and what only how fast they are made."""

from __future__ import annotations

import pytest
from small_project import small_recipe

from assets.graph import job_assets
from assets.job_asset import JobAsset
from infra.job import Resources
from jobs.recipe import Recipe


def asset(recipe: Recipe, key: str) -> JobAsset:
    return next(asset for asset in job_assets(recipe) if asset.key == key)


def name(recipe: Recipe, key: str) -> str:
    """What names the output at the first level."""
    found = asset(recipe, key)
    partition = f"drop|{found.levels[0]}" if found.levels else None
    return found.fingerprint(recipe, partition, {})


@pytest.mark.parametrize(
    ("change", "t2i_is_made_anew"),
    [
        ("tokens.workers=3", False),
        ("tokens.prefetch=0", False),
        ("tokens.gpus_per_worker=0.5", False),
        ("tokens.min_psnr=3", False),
        ("tokens.max_errored=0.5", False),
        ("tokens.device=cuda", True),
        ("tokens.self_correction.share=0.5", True),
        ("model.context_mode=native", True),
    ],
)
def test_only_what_decides_bytes_names_the_output(change: str, t2i_is_made_anew: bool) -> None:
    with_texts = "stages.pretrain_256.mixture.text=1"
    before, after = small_recipe(with_texts), small_recipe(with_texts, change)
    assert (name(before, "tokens/t2i") != name(after, "tokens/t2i")) is t2i_is_made_anew
    assert name(before, "tokens/text") == name(after, "tokens/text")


@pytest.mark.parametrize(
    ("settings", "resources"),
    [
        ([], Resources()),
        (["tokens.workers=3"], Resources(workers=3)),
        (["tokens.device=cuda"], Resources(gpus=1.0)),
        (
            ["tokens.device=cuda", "tokens.gpus_per_worker=0.25", "tokens.workers=8"],
            Resources(workers=8, gpus=0.25),
        ),
        (["tokens.gpus_per_worker=0.25"], Resources()),
    ],
)
def test_a_job_may_use_what_the_recipe_says(settings: list[str], resources: Resources) -> None:
    recipe = small_recipe(*settings)
    assert asset(recipe, "tokens/t2i").resources(recipe) == resources
    assert asset(recipe, "t2i/scored").resources(recipe) == Resources()
