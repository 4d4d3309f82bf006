"""Text-to-image: from raw pictures to captioned documents."""

from __future__ import annotations

from assets.checks import Check
from assets.checks.curation import DECODABLE, DOCUMENTS, THRESHOLDS, TOPIC_SHARE
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.job_asset import JobAsset, Settings
from assets.tokenizer import semantic_assets
from jobs.recipe import Recipe
from jobs.specs.t2i import BalanceSettings, CaptionSettings, FilterSettings, TopicSettings


def filter_assets() -> list[JobAsset]:
    """The first stage of text-to-image curation; what is learnt from raw pictures is learnt from its."""
    return [
        _stage(
            "filtered",
            "raw/t2i",
            "jobs.curate.t2i.filter:run",
            lambda recipe, _: FilterSettings(
                source=recipe.sources.t2i,
                filters=recipe.curation.t2i.filters,
                duplicates=recipe.curation.t2i.duplicates,
            ),
            "Pictures that decode, satisfy every threshold and are no duplicates.",
            (THRESHOLDS,),
        )
    ]


def assets(recipe: Recipe) -> list[JobAsset]:
    """The stages after it, in order."""
    by_picture = recipe.curation.t2i.topics.by == "picture"
    encoder = tuple(asset.key for asset in semantic_assets(recipe)) if by_picture else ()
    return [
        _stage(
            "topics",
            "t2i/filtered",
            "jobs.curate.t2i.topics:run",
            _topic_settings,
            "A topic for each picture.",
            more_inputs=encoder,
        ),
        _stage(
            "balanced",
            "t2i/topics",
            "jobs.curate.t2i.balance:run",
            lambda recipe, _: BalanceSettings(balance=recipe.curation.t2i.balance),
            "Resampled to a flatter distribution of topics.",
            (TOPIC_SHARE,),
        ),
        _stage(
            "captioned",
            "t2i/balanced",
            "jobs.curate.t2i.caption:run",
            lambda recipe, _: CaptionSettings(
                source=recipe.sources.t2i, captions=recipe.curation.t2i.captions
            ),
            "The curated documents: pictures with clean captions, as WebDataset tars.",
            (DECODABLE, DOCUMENTS),
        ),
    ]


def _topic_settings(recipe: Recipe, _partition: str | None) -> TopicSettings:
    topics = recipe.curation.t2i.topics
    pretrained = recipe.tokenizer.semantic.pretrained if topics.by == "picture" else None
    return TopicSettings(topics=topics, pretrained=pretrained)


def _stage(
    name: str,
    source: str,
    job: str,
    settings: Settings,
    description: str,
    checks: tuple[Check, ...] = (),
    more_inputs: tuple[str, ...] = (),
) -> JobAsset:
    return JobAsset(
        key=f"t2i/{name}",
        group="curation_t2i",
        job=job,
        area=f"curated/t2i/{name}",
        inputs=(source, *more_inputs),
        records_from=() if source == "raw/t2i" else (source,),
        settings=settings,
        description=description,
        partitioning="drop",
        checks=(CONSERVATION, UNIQUE_SOURCES, UNIQUE_IDS, *checks),
    )
