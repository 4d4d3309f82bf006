"""Text-to-image: from raw pictures to captioned documents."""

from __future__ import annotations

from assets.checks import Check
from assets.checks.curation import DECODABLE, DOCUMENTS, DUPLICATES, THRESHOLDS
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.checks.t2i import (
    CAPTIONS,
    EMBEDDINGS,
    QUOTAS,
    SCORES,
    SELECTION,
    TOPIC_SHARE,
    TOPICS,
)
from assets.checks.vlm import ANSWERED
from assets.job_asset import JobAsset, Settings
from assets.tokenizer import semantic_assets
from jobs.recipe import Recipe
from jobs.recipe.sources import without_fetch
from jobs.recipe.vlm import SPEED_ONLY
from jobs.specs.t2i import (
    BalanceSettings,
    CaptionSettings,
    EmbedSettings,
    FilterSettings,
    ScoreSettings,
    SelectSettings,
    TopicSettings,
)


def filter_assets(pictures: str = "raw/t2i") -> list[JobAsset]:
    """The first stages of text-to-image curation; what is learnt from raw pictures is learnt from theirs.

    Args:
        pictures: the asset whose listing has the pictures' bytes.
    """
    return [
        _stage(
            "scored",
            pictures,
            "jobs.curate.t2i.score:run",
            _score_settings,
            "Every record decoded, measured and hashed, without a threshold.",
            (SCORES,),
        ),
        _stage(
            "filtered",
            "t2i/scored",
            "jobs.curate.t2i.filter:run",
            lambda recipe, _: FilterSettings(
                filters=recipe.curation.t2i.filters, duplicates=recipe.curation.t2i.duplicates
            ),
            "Pictures that satisfy every threshold and are no duplicates, by their scores.",
            (UNIQUE_IDS, THRESHOLDS, DUPLICATES),
        ),
    ]


def assets(recipe: Recipe) -> list[JobAsset]:
    """The stages after them, in order."""
    by_picture = recipe.curation.t2i.topics.by == "picture"
    embedded = _embedded_assets(recipe)
    source = "t2i/selected" if embedded else "t2i/filtered"
    return [
        *embedded,
        _stage(
            "topics",
            source,
            "jobs.curate.t2i.topics:run",
            _topic_settings,
            "A topic for each picture.",
            (UNIQUE_IDS, TOPICS),
            ("t2i/embedded", *_encoder(recipe)) if by_picture else (),
        ),
        _stage(
            "balanced",
            "t2i/topics",
            "jobs.curate.t2i.balance:run",
            lambda recipe, _: BalanceSettings(balance=recipe.curation.t2i.balance),
            "Resampled to a flatter distribution of topics, or to quotas.",
            (UNIQUE_IDS, TOPIC_SHARE, QUOTAS),
        ),
        _stage(
            "captioned",
            "t2i/balanced",
            "jobs.curate.t2i.caption:run",
            _caption_settings,
            "The curated documents: pictures with clean captions, as WebDataset tars.",
            (UNIQUE_IDS, ANSWERED, DECODABLE, DOCUMENTS, CAPTIONS),
        ),
    ]


def _embedded_assets(recipe: Recipe) -> list[JobAsset]:
    if recipe.curation.t2i.embedded is None:
        return []
    return [
        _stage(
            "embedded",
            "t2i/scored",
            "jobs.curate.t2i.embed:run",
            _embed_settings,
            "What each decodable picture means, as a vector, and how it looks, as a number.",
            (EMBEDDINGS,),
            _encoder(recipe),
        ),
        _stage(
            "selected",
            "t2i/filtered",
            "jobs.curate.t2i.select:run",
            lambda recipe, _: SelectSettings(selection=recipe.curation.t2i.selection),
            "What stays by looks and by meaning.",
            (UNIQUE_IDS, SELECTION, DUPLICATES),
            ("t2i/embedded", "t2i/scored"),
        ),
    ]


def _encoder(recipe: Recipe) -> tuple[str, ...]:
    """The project's own encoder, where it is trained and embeds."""
    embedding = recipe.curation.t2i.embedded
    own = embedding is not None and embedding.encoder.kind == "semantic"
    return tuple(asset.key for asset in semantic_assets(recipe)) if own else ()


def _pretrained(recipe: Recipe) -> str | None:
    embedding = recipe.curation.t2i.embedded
    own = embedding is not None and embedding.encoder.kind == "semantic"
    return recipe.tokenizer.semantic.pretrained if own else None


def _score_settings(recipe: Recipe, _partition: str | None) -> ScoreSettings:
    filters = recipe.curation.t2i.filters
    return ScoreSettings(
        source=without_fetch(recipe.sources.t2i), max_bytes=filters.max_bytes, max_pixels=filters.max_pixels
    )


def _embed_settings(recipe: Recipe, _partition: str | None) -> EmbedSettings:
    embedding = recipe.curation.t2i.embedded
    assert embedding is not None
    return EmbedSettings(
        source=without_fetch(recipe.sources.t2i),
        max_pixels=recipe.curation.t2i.filters.max_pixels,
        embedding=embedding,
        pretrained=_pretrained(recipe),
    )


def _topic_settings(recipe: Recipe, _partition: str | None) -> TopicSettings:
    topics = recipe.curation.t2i.topics
    order = list(topics.taxonomy)
    if topics.by == "caption":
        return TopicSettings(topics=topics, order=order)
    embedding = recipe.curation.t2i.embedded
    return TopicSettings(topics=topics, order=order, embedding=embedding, pretrained=_pretrained(recipe))


def _caption_settings(recipe: Recipe, _partition: str | None) -> CaptionSettings:
    captions = recipe.curation.t2i.captions
    vlm = recipe.vlm if captions.by == "vlm" else None
    return CaptionSettings(source=without_fetch(recipe.sources.t2i), captions=captions, vlm=vlm)


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
        records_from=() if source.startswith("raw/") else (source,),
        settings=settings,
        description=description,
        partitioning="drop",
        thresholds={"vlm": SPEED_ONLY} if name == "captioned" else {},
        checks=(CONSERVATION, UNIQUE_SOURCES, *checks),
        version={"scored": "3", "topics": "2", "captioned": "2"}.get(name, "1"),
    )
