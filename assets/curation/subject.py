"""Subject pairs: from pictures that appeared together to pairs that share a subject."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from assets.checks import Check
from assets.checks.curation import DECODABLE, DOCUMENTS, THRESHOLDS
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.checks.subject import (
    EMBEDDINGS,
    EVERY_PAIR,
    GROUPS,
    NO_PAIR_TWICE,
    PAIR_DOCUMENTS,
    SAME_GROUP,
    SIMILARITY,
)
from assets.checks.vlm import ANSWERED
from assets.job_asset import JobAsset, Settings
from assets.tokenizer import semantic_assets
from jobs.recipe import Recipe
from jobs.recipe.sources import without_fetch
from jobs.recipe.vlm import SPEED_ONLY
from jobs.specs.subject import (
    CandidateSettings,
    ConfirmSettings,
    EmbedSettings,
    GroupSettings,
    SubjectScoreSettings,
)


def assets(recipe: Recipe, pictures: str = "raw/subject") -> list[JobAsset]:
    """The stages in order; none where the recipe has no source.

    Args:
        recipe: the recipe.
        pictures: the asset whose listing has the pictures' bytes.
    """
    given = recipe.sources.given().get("subject")
    if given is None:
        return []
    source, curation = without_fetch(given), recipe.curation.subject
    return [
        _stage(
            "scored",
            "jobs.curate.subject.score:run",
            (pictures,),
            lambda _recipe, _: SubjectScoreSettings(
                source=source,
                max_bytes=curation.filters.max_bytes,
                max_pixels=curation.filters.max_pixels,
            ),
            "Every picture that decodes measured, with the group it appeared in.",
            records_from=() if pictures == "raw/subject" else (pictures,),
        ),
        _stage(
            "embedded",
            "jobs.curate.subject.embed:run",
            ("subject/scored", *(asset.key for asset in semantic_assets(recipe))),
            lambda recipe, _: EmbedSettings(source=source, pretrained=recipe.tokenizer.semantic.pretrained),
            "Where every picture lies in the semantic encoder's space.",
            (EMBEDDINGS,),
            ("subject/scored",),
        ),
        _stage(
            "grouped",
            "jobs.curate.subject.group:run",
            ("subject/scored",),
            lambda _recipe, _: GroupSettings(
                filters=curation.filters, duplicates=curation.duplicates, max_group=curation.max_group
            ),
            "Pictures that satisfy every threshold, copy none of their group, and are not alone in it.",
            (THRESHOLDS, GROUPS),
            ("subject/scored",),
        ),
        _stage(
            "candidates",
            "jobs.curate.subject.candidates:run",
            ("subject/grouped", "subject/embedded", "subject/scored"),
            lambda _recipe, _: CandidateSettings(
                min_similarity=curation.min_similarity,
                max_similarity=curation.max_similarity,
                pairs_per_picture=curation.pairs_per_picture,
            ),
            "Pairs of pictures of one group, neither unlike nor alike. From here on a record is a pair.",
            (UNIQUE_IDS, SIMILARITY, EVERY_PAIR, NO_PAIR_TWICE, SAME_GROUP),
        ),
        _stage(
            "confirmed",
            "jobs.curate.subject.confirm:run",
            ("subject/candidates", "subject/grouped", "subject/scored"),
            lambda recipe, _: ConfirmSettings(
                source=source, vlm=recipe.vlm, words=curation.words if recipe.vlm.kind == "source" else {}
            ),
            "The curated documents: pairs that share a subject, told what to draw, as WebDataset tars.",
            (UNIQUE_IDS, ANSWERED, NO_PAIR_TWICE, SAME_GROUP, DOCUMENTS, PAIR_DOCUMENTS, DECODABLE),
            ("subject/candidates",),
            {"vlm": SPEED_ONLY},
        ),
    ]


def _stage(
    name: str,
    job: str,
    inputs: tuple[str, ...],
    settings: Settings,
    description: str,
    checks: tuple[Check, ...] = (),
    records_from: tuple[str, ...] = (),
    thresholds: Mapping[str, Any] = MappingProxyType({}),
) -> JobAsset:
    return JobAsset(
        key=f"subject/{name}",
        group="curation_subject",
        job=job,
        area=f"curated/subject/{name}",
        inputs=inputs,
        records_from=records_from,
        settings=settings,
        description=description,
        partitioning="drop",
        family="subject",
        checks=(CONSERVATION, UNIQUE_SOURCES, *checks),
        thresholds=thresholds,
        version={"scored": "3", "confirmed": "2"}.get(name, "1"),
    )
