"""Group `training`: one asset per stage of the recipe, each starting from the one before."""

from __future__ import annotations

from assets.checks.training import COARSE_LOSS, FINITE, RESUMABLE
from assets.job_asset import JobAsset
from jobs.recipe import Recipe
from jobs.specs import TrainSettings


def assets(recipe: Recipe, stage: str) -> list[JobAsset]:
    """The checkpoint of a stage."""
    names = list(recipe.stages)
    before = names[: names.index(stage)][-1:]
    return [
        JobAsset(
            key=f"training/{stage}",
            group="training",
            job="jobs.train.run:run",
            area=f"checkpoints/{stage}",
            inputs=(f"packs/{stage}", "tokenizer/joint", *(f"training/{name}" for name in before)),
            settings=lambda recipe, _: TrainSettings(
                stage_name=stage, stage=recipe.stages[stage], model=recipe.model
            ),
            description=f"The transformer after stage {stage}.",
            checks=(FINITE, COARSE_LOSS, RESUMABLE),
        )
    ]
