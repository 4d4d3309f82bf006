"""Group `packing`: documents packed into rows of equal compute, one asset per training stage."""

from __future__ import annotations

from collections.abc import Sequence

from assets.checks.packing import BALANCE, LIMITS, MIXTURE, NOTHING_LOST
from assets.job_asset import JobAsset
from assets.tokens import TOKENIZER, token_keys
from infra.document import parse_id
from jobs.recipe import Recipe
from jobs.specs import PackSettings


def assets(recipe: Recipe, stage: str, tokens: Sequence[JobAsset]) -> list[JobAsset]:
    """The packs of a stage: of every drop's tokens at its level."""
    mixed = token_keys(recipe, stage, tokens)
    return [
        JobAsset(
            key=f"packs/{stage}",
            group="packing",
            job="jobs.pack.run:run",
            area=f"packs/{stage}",
            inputs=(*mixed, TOKENIZER),
            records_from=mixed,
            settings=lambda recipe, _: _settings(recipe, stage),
            description=f"What stage {stage} trains on: one row is one pack.",
            level=recipe.stages[stage].level,
            checks=(NOTHING_LOST, LIMITS, MIXTURE, BALANCE),
            thresholds={"packs_per_step": True, "packing": {"min_balance"}},
            version="4",
        )
    ]


def _settings(recipe: Recipe, stage: str) -> PackSettings:
    section = recipe.stages[stage]
    return PackSettings(
        stage_name=stage,
        mixture={str(family): weight for family, weight in section.mixture.items()},
        packing=section.packing,
        model=recipe.model,
        packs_per_step=section.packs_per_step,
        forgotten=tuple(sorted(map(parse_id, recipe.forgotten))),
    )
