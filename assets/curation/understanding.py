"""Understanding: curated pictures with questions and answers, and the dialogues of a source."""

from __future__ import annotations

from assets.checks.curation import DECODABLE, DOCUMENTS
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.checks.understanding import LIMITS, TASKS
from assets.checks.vlm import ANSWERED
from assets.job_asset import JobAsset
from jobs.recipe import Recipe
from jobs.recipe.curation.understanding import UnderstandingCuration
from jobs.recipe.sources import Source
from jobs.recipe.vlm import SPEED_ONLY
from jobs.specs.understanding import (
    CheckDialoguesSettings,
    DialoguesSettings,
    ReadTextSettings,
    WriteSettings,
)

_RECORDS = (CONSERVATION, UNIQUE_SOURCES)


def assets(recipe: Recipe) -> list[JobAsset]:
    """The stages, in order; none where the recipe wants no understanding."""
    curation, source = recipe.curation.understanding, recipe.sources.understanding
    if curation is None:
        return []
    reading = [_read()] if curation.text_rich else []
    return [*reading, _written(curation), *(_dialogues(curation, source) if source else [])]


def _read() -> JobAsset:
    return JobAsset(
        key="understanding/read",
        group="curation_understanding",
        job="jobs.curate.understanding.read:run",
        area="curated/understanding/read",
        inputs=("t2i/captioned",),
        records_from=("t2i/captioned",),
        settings=lambda _recipe, _: ReadTextSettings(),
        description="The text in every curated picture, by optical character recognition.",
        partitioning="drop",
        checks=(*_RECORDS, UNIQUE_IDS),
    )


def _written(curation: UnderstandingCuration) -> JobAsset:
    return JobAsset(
        key="understanding/written",
        group="curation_understanding",
        job="jobs.curate.understanding.write:run",
        area="curated/understanding/written",
        inputs=("t2i/captioned", *(("understanding/read",) if curation.text_rich else ())),
        records_from=("t2i/captioned",),
        settings=lambda recipe, _: WriteSettings(
            rewritten=curation.rewritten,
            knowledge=curation.knowledge,
            inverted=curation.inverted,
            text_rich=curation.text_rich,
            vlm=recipe.vlm,
        ),
        description="Curated pictures with captions, questions and answers to be learnt, as WebDataset tars.",
        partitioning="drop",
        thresholds={"vlm": SPEED_ONLY},
        version="2",
        checks=(*_RECORDS, UNIQUE_IDS, ANSWERED, TASKS, DECODABLE, DOCUMENTS),
    )


def _dialogues(curation: UnderstandingCuration, source: Source) -> list[JobAsset]:
    limits = curation.dialogues
    return [
        JobAsset(
            key="understanding/checked",
            group="curation_understanding",
            job="jobs.curate.understanding.check:run",
            area="curated/understanding/checked",
            inputs=("raw/understanding",),
            settings=lambda _recipe, _: CheckDialoguesSettings(
                source=source, max_bytes=limits.max_bytes, max_pixels=limits.max_pixels
            ),
            description="Every dialogue of the source decoded and measured.",
            partitioning="drop",
            family="understanding",
            checks=_RECORDS,
            version="2",
        ),
        JobAsset(
            key="understanding/dialogues",
            group="curation_understanding",
            job="jobs.curate.understanding.dialogues:run",
            area="curated/understanding/dialogues",
            inputs=("understanding/checked",),
            records_from=("understanding/checked",),
            settings=lambda _recipe, _: DialoguesSettings(source=source, dialogues=limits),
            description="Dialogues that satisfy every threshold, as WebDataset tars.",
            partitioning="drop",
            family="understanding",
            checks=(*_RECORDS, UNIQUE_IDS, LIMITS, DECODABLE, DOCUMENTS),
        ),
    ]
