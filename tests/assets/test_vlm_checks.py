"""Every stage that asks a model stops where the model was away, and asks again when it is told to."""

from __future__ import annotations

from typing import Any

import pytest

from assets.checks import Published, Verdict
from assets.checks.vlm import ANSWERED
from assets.graph import job_assets
from infra.catalogue import Counts
from infra.manifest import Manifest
from jobs.recipe import Captions, FolderSource, Recipe
from jobs.recipe.vlm import OpenAiEndpoint, SourceText, VlmSettings
from jobs.specs.t2i import CaptionSettings
from pipelines.project import DEMO_RECIPE, load_recipe

ASKING = ["t2i/captioned", "understanding/written", "edit/judged", "subject/confirmed"]
RECIPE = [
    "vlm.kind=openai",
    "vlm.base_url=http://127.0.0.1:8000/v1",
    "vlm.model=judge",
    "curation.t2i.captions.by=vlm",
    "curation.edit.judge=vlm",
    "curation.understanding.rewritten=0.1",
    "sources.edit.kind=scene_edits",
    "sources.edit.count=120",
    "sources.subject.kind=scene_albums",
    "sources.subject.count=120",
]


def check(vlm: VlmSettings | None, asked: int = 0, unreachable: int = 0) -> Verdict:
    settings = CaptionSettings(source=FolderSource(uri="/in"), captions=Captions(), vlm=vlm)
    metadata: dict[str, Any] = {} if vlm is None else {"vlm": {"asked": asked, "unreachable": unreachable}}
    manifest = Manifest(
        asset="t2i/captioned", partition="d", fingerprint="f", files=(), counts=Counts(), metadata=metadata
    )
    return ANSWERED.run(Published("/out", manifest, {}, settings))


def server(**settings: Any) -> OpenAiEndpoint:
    return OpenAiEndpoint(base_url="http://127.0.0.1/v1", model="m", **settings)


@pytest.mark.parametrize(
    ("vlm", "asked", "unreachable"),
    [
        (None, 0, 0),
        (SourceText(), 9, 0),
        (server(), 0, 0),
        (server(), 100, 2),
        (server(min_answered=0.5), 2, 1),
        (server(min_answered=0), 2, 2),
    ],
)
def test_a_drop_of_which_enough_was_answered_passes(
    vlm: VlmSettings | None, asked: int, unreachable: int
) -> None:
    assert check(vlm, asked, unreachable).passed


@pytest.mark.parametrize(
    ("vlm", "asked", "unreachable"), [(server(), 100, 3), (server(), 1, 1), (server(min_answered=1), 1000, 1)]
)
def test_a_drop_of_which_too_little_was_answered_fails(
    vlm: VlmSettings, asked: int, unreachable: int
) -> None:
    verdict = check(vlm, asked, unreachable)
    assert not verdict.passed
    assert f"{unreachable} of {asked} questions" in verdict.why
    assert "raise vlm.round" in verdict.why


def fingerprints(recipe: Recipe) -> dict[str, str]:
    assets = {asset.key: asset for asset in job_assets(recipe)}
    return {key: assets[key].fingerprint(recipe, None, {}) for key in ASKING}


def test_every_stage_that_asks_has_the_check() -> None:
    assets = {asset.key: asset for asset in job_assets(load_recipe(DEMO_RECIPE, RECIPE))}
    assert all(ANSWERED in assets[key].checks for key in ASKING)


def test_another_round_is_another_output_and_another_limit_is_not() -> None:
    first = fingerprints(load_recipe(DEMO_RECIPE, RECIPE))
    assert fingerprints(load_recipe(DEMO_RECIPE, [*RECIPE, "vlm.min_answered=0.5"])) == first
    again = fingerprints(load_recipe(DEMO_RECIPE, [*RECIPE, "vlm.round=1"]))
    assert all(again[key] != first[key] for key in ASKING)
