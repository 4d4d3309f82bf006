"""Group `packing`: documents packed into rows of equal compute, one asset per training stage."""

from __future__ import annotations

from assets.checks.packing import LIMITS, MIXTURE, NOTHING_LOST
from assets.job_asset import JobAsset
from jobs.recipe import Recipe
from jobs.specs import PackSettings


def assets(recipe: Recipe, stage: str) -> list[JobAsset]:
    """The packs of a stage: of every drop's tokens at its level."""
    tokens = tuple(f"tokens/{family}" for family in recipe.stages[stage].mixture)
    return [
        JobAsset(
            key=f"packs/{stage}",
            group="packing",
            job="jobs.pack.run:run",
            area=f"packs/{stage}",
            inputs=tokens,
            records_from=tokens,
            settings=lambda recipe, _: PackSettings(
                stage_name=stage,
                mixture={str(family): weight for family, weight in recipe.stages[stage].mixture.items()},
                packing=recipe.stages[stage].packing,
                model=recipe.model,
            ),
            description=f"What stage {stage} trains on: one row is one pack.",
            level=recipe.stages[stage].level,
            checks=(NOTHING_LOST, LIMITS, MIXTURE),
        )
    ]
