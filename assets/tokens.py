"""Group `tokens`: curated documents as token indices, once for each drop and resolution level.

Texts have no pictures, so they are extracted once for all levels and need no image tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from assets.checks.tokens import CONSERVATION, DECODED_BACK, FEW_ERRORS, IDS_IN_RANGE, LENGTHS
from assets.job_asset import JobAsset
from assets.partitions import Partitioning, level_of
from infra.document import Family
from infra.job import Resources
from jobs.recipe import Recipe
from jobs.specs import TokensSettings

CURATED: dict[str, tuple[str, Family]] = {
    "tokens/t2i": ("t2i/captioned", "t2i"),
    "tokens/understanding": ("understanding/written", "understanding"),
    "tokens/dialogues": ("understanding/dialogues", "understanding"),
    "tokens/edit": ("edit/mixed", "edit"),
    "tokens/subject": ("subject/confirmed", "subject"),
    "tokens/text": ("text/mixed", "text"),
}
"""From the key of tokens to that of the curated documents they are made from, and these documents' family."""

TOKENIZER = "tokenizer/joint"

_NOT_OF_CONTENT: Mapping[str, Any] = MappingProxyType(
    {"tokens": {"min_psnr", "max_errored", "workers", "gpus_per_worker", "prefetch"}}
)
_NOT_OF_TEXTS: Mapping[str, Any] = MappingProxyType({"tokens": True, "context_mode": True})


def assets(recipe: Recipe, curated: Sequence[JobAsset]) -> list[JobAsset]:
    """One asset for each curated data set that some stage mixes in."""
    by_key = {asset.key: asset for asset in curated}
    return [
        _asset(key, by_key[documents], levels)
        for key, (documents, family) in CURATED.items()
        for levels in [recipe.levels_of(family)]
        if documents in by_key and levels
    ]


def token_keys(recipe: Recipe, stage: str, tokens: Sequence[JobAsset]) -> tuple[str, ...]:
    """Keys of the tokens that a stage mixes."""
    mixed = recipe.stages[stage].families
    return tuple(asset.key for asset in tokens if CURATED[asset.key][1] in mixed)


def _asset(key: str, documents: JobAsset, levels: tuple[str, ...]) -> JobAsset:
    has_images = key != "tokens/text"
    partitioning: Partitioning = "none" if documents.partitioning == "none" else "drop"
    if has_images:
        partitioning = "level" if partitioning == "none" else "drop_level"
    return JobAsset(
        key=key,
        group="tokens",
        job="jobs.extract.run:run",
        area=key,
        inputs=(documents.key, TOKENIZER) if has_images else (documents.key,),
        records_from=(documents.key,),
        settings=_settings if has_images else _text_settings,
        description=f"Token indices of {documents.key}"
        + (", with self-correction inputs." if has_images else "."),
        partitioning=partitioning,
        family=documents.family,
        levels=levels if has_images else (),
        checks=(CONSERVATION, FEW_ERRORS, IDS_IN_RANGE, LENGTHS, *((DECODED_BACK,) if has_images else ())),
        thresholds=_NOT_OF_CONTENT if has_images else _NOT_OF_TEXTS,
        resources=_resources if has_images else _text_resources,
        version="2",
    )


def _settings(recipe: Recipe, partition: str | None) -> TokensSettings:
    level = level_of(str(partition))
    return _text_settings(recipe, partition).model_copy(
        update={"level_name": level, "level": recipe.levels[level]}
    )


def _text_settings(recipe: Recipe, _partition: str | None) -> TokensSettings:
    return TokensSettings(
        tokens=recipe.tokens,
        text_tokenizer=recipe.model.text_tokenizer,
        context_mode=recipe.model.context_mode,
    )


def _resources(recipe: Recipe) -> Resources:
    tokens = recipe.tokens
    gpus = tokens.gpus_per_worker if tokens.device == "cuda" else 0.0
    return Resources(workers=tokens.workers, gpus=gpus)


def _text_resources(recipe: Recipe) -> Resources:
    """Texts need no GPU."""
    return Resources(workers=recipe.tokens.workers if recipe.tokens.device == "cpu" else None)
