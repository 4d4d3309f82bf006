"""Edits: from raw pairs to judged documents, and to a mix of tasks together with edits that are made."""

from __future__ import annotations

from assets.checks import Check
from assets.checks.curation import DECODABLE, DOCUMENTS
from assets.checks.edit import FORM, JUDGED, MATCHED, NO_BAD, SUBSETS, TASK_SHARES
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.checks.vlm import ANSWERED
from assets.job_asset import JobAsset, Settings
from assets.partitions import Partitioning
from jobs.recipe import Recipe
from jobs.recipe.curation.edit import EditCuration
from jobs.recipe.sources import Source
from jobs.recipe.vlm import SPEED_ONLY, SourceText, VlmSettings
from jobs.specs.edit import (
    EditAuditSettings,
    EditJudgeSettings,
    EditMatchSettings,
    EditMixSettings,
    EditScoreSettings,
    EditSubsetSettings,
)

SYNTHETIC = "edit/synthetic"
"""Edits made from curated pictures, where the recipe wants them."""


def assets(recipe: Recipe) -> list[JobAsset]:
    """The stages, in order; none where the recipe wants no edits."""
    curation, source = recipe.curation.edit, recipe.sources.edit
    if curation is None:
        return []
    found = _found(curation, source) if source is not None else []
    made = (SYNTHETIC,) if curation.synthetic is not None else ()
    inputs = (*(("edit/audited",) if found else ()), *made)
    return [*found, *([_mixed(curation, inputs)] if inputs else [])]


def _found(curation: EditCuration, source: Source) -> list[JobAsset]:
    """The stages of a source of edits."""
    return [
        _stage(
            "scored",
            ("raw/edit",),
            lambda _recipe, _: EditScoreSettings(source=source, limits=curation.limits),
            "Every pair decoded and measured: how much differs, where, and how well the rest is kept.",
        ),
        _stage(
            "size_matched",
            ("edit/scored",),
            lambda _recipe, _: EditMatchSettings(filters=curation.filters),
            "Pairs of one size that differ, with an instruction, each once.",
            (UNIQUE_IDS, MATCHED),
        ),
        _stage(
            "judged",
            ("edit/size_matched",),
            lambda recipe, _: _judge_settings(recipe, curation, source),
            "Whether each edit follows its instruction, and which task it is of.",
            (UNIQUE_IDS, ANSWERED, JUDGED),
        ),
        _subsets(curation),
        _stage(
            "audited",
            ("edit/judged", "edit/subsets", "edit/scored"),
            lambda _recipe, _: EditAuditSettings(
                source=source, min_score=curation.min_score, max_changed=_max_changed(curation)
            ),
            "The curated documents: edits that follow their instruction, of subsets that mostly do.",
            (UNIQUE_IDS, NO_BAD, FORM, DECODABLE, DOCUMENTS),
        ),
    ]


def _judge_settings(recipe: Recipe, curation: EditCuration, source: Source) -> EditJudgeSettings:
    nobody: VlmSettings = SourceText()
    return EditJudgeSettings(
        source=source,
        judge=recipe.vlm if curation.judge == "vlm" else nobody,
        tasks=recipe.vlm if curation.tasks == "vlm" else nobody,
    )


def _max_changed(curation: EditCuration) -> float | None:
    """The threshold of edits that nobody looked at; a model sees for itself how much has changed."""
    return curation.max_changed if curation.judge == "measured" else None


def _subsets(curation: EditCuration) -> JobAsset:
    return JobAsset(
        key="edit/subsets",
        group="curation_edit",
        job="jobs.curate.edit.subsets:run",
        area="curated/edit/subsets",
        inputs=("edit/judged",),
        settings=lambda _recipe, _: EditSubsetSettings(
            min_score=curation.min_score,
            max_changed=_max_changed(curation),
            max_bad=curation.max_bad,
            min_judged=curation.min_judged,
        ),
        description="The share of bad edits in each subset, over all drops, and which subsets go for it.",
        family="edit",
        checks=(SUBSETS,),
        version="2",
    )


def _mixed(curation: EditCuration, inputs: tuple[str, ...]) -> JobAsset:
    return _stage(
        "mixed",
        inputs,
        lambda _recipe, _: EditMixSettings(
            target={str(task): weight for task, weight in curation.target.items()}, met=curation.met
        ),
        "The edits of all drops, found and made, in the target's shares of tasks.",
        (UNIQUE_IDS, TASK_SHARES, FORM, DECODABLE, DOCUMENTS),
        partitioning="none",
        records_from=inputs,
    )


def _stage(
    name: str,
    inputs: tuple[str, ...],
    settings: Settings,
    description: str,
    checks: tuple[Check, ...] = (),
    partitioning: Partitioning = "drop",
    records_from: tuple[str, ...] | None = None,
) -> JobAsset:
    """A stage; it accounts for the records of its first input, unless told otherwise."""
    source = () if inputs[0].startswith("raw/") else inputs[:1]
    return JobAsset(
        key=f"edit/{name}",
        group="curation_edit",
        job=f"jobs.curate.edit.{_MODULES[name]}:run",
        area=f"curated/edit/{name}",
        inputs=inputs,
        records_from=source if records_from is None else records_from,
        settings=settings,
        description=description,
        partitioning=partitioning,
        family="edit",
        checks=(CONSERVATION, UNIQUE_SOURCES, *checks),
        thresholds={"judge": SPEED_ONLY, "tasks": SPEED_ONLY} if name == "judged" else {},
        version="2" if name in ("scored", "judged", "mixed") else "1",
    )


_MODULES = {
    "scored": "score",
    "size_matched": "match",
    "judged": "judge",
    "audited": "audit",
    "mixed": "mix",
}
