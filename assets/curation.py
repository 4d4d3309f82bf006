"""Group `curation`: from raw pictures to documents, drop by drop."""

from __future__ import annotations

from assets.checks import Check
from assets.checks.curation import DECODABLE, DOCUMENTS, THRESHOLDS, TOPIC_SHARE
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.job_asset import JobAsset, Settings
from jobs.specs import BalanceSettings, CaptionSettings, FilterSettings, TopicSettings


def assets() -> list[JobAsset]:
    """The stages of text-to-image curation, in order."""
    return [
        _stage(
            "filtered",
            "raw/t2i",
            "jobs.curate.filter:run",
            lambda recipe, _: FilterSettings(
                source=recipe.sources.t2i,
                filters=recipe.curation.t2i.filters,
                duplicates=recipe.curation.t2i.duplicates,
            ),
            "Pictures that decode, satisfy every threshold and are no duplicates.",
            (THRESHOLDS,),
        ),
        _stage(
            "topics",
            "t2i/filtered",
            "jobs.curate.topics:run",
            lambda recipe, _: TopicSettings(topics=recipe.curation.t2i.topics),
            "A topic for each picture.",
        ),
        _stage(
            "balanced",
            "t2i/topics",
            "jobs.curate.balance:run",
            lambda recipe, _: BalanceSettings(balance=recipe.curation.t2i.balance),
            "Resampled to a flatter distribution of topics.",
            (TOPIC_SHARE,),
        ),
        _stage(
            "captioned",
            "t2i/balanced",
            "jobs.curate.caption:run",
            lambda recipe, _: CaptionSettings(
                source=recipe.sources.t2i, captions=recipe.curation.t2i.captions
            ),
            "The curated documents: pictures with clean captions, as WebDataset tars.",
            (DECODABLE, DOCUMENTS),
        ),
    ]


def _stage(
    name: str, source: str, job: str, settings: Settings, description: str, checks: tuple[Check, ...] = ()
) -> JobAsset:
    return JobAsset(
        key=f"t2i/{name}",
        group="curation",
        job=job,
        area=f"curated/t2i/{name}",
        inputs=(source,),
        settings=settings,
        description=description,
        partitioning="drop",
        checks=(CONSERVATION, UNIQUE_SOURCES, UNIQUE_IDS, *checks),
    )
