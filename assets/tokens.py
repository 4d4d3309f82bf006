"""Group `tokens`: documents as token indices, once for each drop and resolution level."""

from __future__ import annotations

from assets.checks.tokens import CONSERVATION, IDS_IN_RANGE, LENGTHS
from assets.job_asset import JobAsset
from assets.partitions import level_of
from jobs.recipe import Recipe
from jobs.specs import TokensSettings


def assets() -> list[JobAsset]:
    """One asset per data family."""
    return [
        JobAsset(
            key="tokens/t2i",
            group="tokens",
            job="jobs.extract.run:run",
            area="tokens/t2i",
            inputs=("t2i/captioned", "tokenizer/joint"),
            records_from=("t2i/captioned",),
            settings=_settings,
            description="Token indices of pictures and captions, with self-correction inputs.",
            partitioning="drop_level",
            checks=(CONSERVATION, IDS_IN_RANGE, LENGTHS),
        )
    ]


def _settings(recipe: Recipe, partition: str | None) -> TokensSettings:
    level = level_of(str(partition))
    return TokensSettings(
        tokens=recipe.tokens, level_name=level, level=recipe.levels[level], model=recipe.model
    )
