"""Edits made from curated pictures, drop by drop of text-to-image."""

from __future__ import annotations

from assets.checks.curation import DECODABLE, DOCUMENTS
from assets.checks.edit import FORM
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.checks.synthetic import CHANGED, TASKS_RECORDED
from assets.curation.edit import SYNTHETIC
from assets.job_asset import JobAsset
from jobs.recipe import Recipe
from jobs.recipe.curation.edit import TASKS, EditCuration
from jobs.recipe.curation.synthetic import SyntheticEdits
from jobs.specs.synthetic import SyntheticSettings


def assets(recipe: Recipe) -> list[JobAsset]:
    """The one stage; none where the recipe wants no edits made."""
    curation = recipe.curation.edit
    if curation is None or curation.synthetic is None:
        return []
    settings = _settings(curation, curation.synthetic)
    return [
        JobAsset(
            key=SYNTHETIC,
            group="curation_edit",
            job="jobs.curate.edit.synthetic:run",
            area="curated/edit/synthetic",
            inputs=("t2i/captioned",),
            settings=lambda _recipe, _: settings,
            description="Edits made from curated pictures: of scenes, of cut-out objects, of whole pictures.",
            partitioning="drop",
            family="t2i",
            checks=(
                CONSERVATION,
                UNIQUE_SOURCES,
                UNIQUE_IDS,
                CHANGED,
                TASKS_RECORDED,
                FORM,
                DECODABLE,
                DOCUMENTS,
            ),
        )
    ]


def _settings(curation: EditCuration, synthetic: SyntheticEdits) -> SyntheticSettings:
    return SyntheticSettings(
        synthetic=synthetic,
        target={task: curation.target.get(task, 0.0) for task in TASKS},
        max_pixels=curation.limits.max_pixels,
    )
