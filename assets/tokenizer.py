"""Group `tokenizer`: the image tokenizer, trained on the curated pictures."""

from __future__ import annotations

from assets.checks.tokenizer import CODEBOOK_USE, PSNR
from assets.job_asset import JobAsset
from jobs.recipe import Recipe
from jobs.specs import TokenizerSettings


def assets() -> list[JobAsset]:
    """The joint training of both branches with one codebook."""
    return [
        JobAsset(
            key="tokenizer/joint",
            group="tokenizer",
            job="jobs.tokenizer.train:run",
            area="checkpoints/tokenizer/joint",
            inputs=("t2i/captioned",),
            settings=_settings,
            description="Turns pictures into token indices, coarse scales first, and back.",
            checks=(PSNR, CODEBOOK_USE),
            thresholds={"tokenizer": {"min_psnr", "min_codebook_use"}},
        )
    ]


def _settings(recipe: Recipe, _partition: str | None) -> TokenizerSettings:
    return TokenizerSettings(tokenizer=recipe.tokenizer, level=recipe.levels[recipe.tokenizer.level])
