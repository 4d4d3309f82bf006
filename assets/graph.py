"""All assets that a recipe asks for, in an order in which they can be made."""

from __future__ import annotations

from assets import evaluation, packing, tokenizer, tokens, training
from assets.curation import t2i
from assets.job_asset import JobAsset
from jobs.recipe import Recipe


def job_assets(recipe: Recipe) -> list[JobAsset]:
    """Every asset that a job makes, inputs first."""
    stages = [
        asset
        for name in recipe.stages
        for asset in (
            *packing.assets(recipe, name),
            *training.assets(recipe, name),
            *evaluation.assets(recipe, name),
        )
    ]
    return [
        *t2i.filter_assets(),
        *tokenizer.semantic_assets(recipe),
        *t2i.assets(recipe),
        *tokenizer.assets(recipe),
        *tokens.assets(),
        *stages,
    ]
