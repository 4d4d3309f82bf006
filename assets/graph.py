"""All assets that a recipe asks for, in an order in which they can be made."""

from __future__ import annotations

from assets import evaluation, packing, tokenizer, tokens, training
from assets.curation import edit, fetch, subject, synthetic, t2i, text, understanding
from assets.job_asset import JobAsset
from jobs.recipe import Recipe


def job_assets(recipe: Recipe) -> list[JobAsset]:
    """Every asset that a job makes, inputs first."""
    curated = [
        *fetch.assets(recipe),
        *t2i.filter_assets(fetch.records_asset(recipe, "t2i")),
        *tokenizer.semantic_assets(recipe),
        *t2i.assets(recipe),
        *text.assets(recipe),
        *understanding.assets(recipe),
        *subject.assets(recipe, fetch.records_asset(recipe, "subject")),
        *synthetic.assets(recipe),
        *edit.assets(recipe),
    ]
    extracted = tokens.assets(recipe, curated)
    stages = [
        asset
        for name in recipe.stages
        for asset in (
            *packing.assets(recipe, name, extracted),
            *training.assets(recipe, name),
            *evaluation.assets(recipe, name),
        )
    ]
    return [*curated, *tokenizer.assets(recipe), *extracted, *stages]
