"""Which stages of text-to-image curation a changed setting makes anew, and what each is made from."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest
from small_project import small_recipe

from assets.graph import job_assets
from assets.job_asset import JobAsset
from assets.plan import StageResult, materialize_stale
from assets.project import Project

Curated = tuple[Project, dg.DagsterInstance, list[StageResult]]

PICTURES = "curation.t2i.topics.by=picture"
PUBLISHED = "tokenizer.semantic.pretrained=google/siglip2-so400m-patch16-naflex"
OPEN_CLIP = "curation.t2i.embedding={encoder: {kind: open_clip}}"


def graph(*overrides: str) -> dict[str, JobAsset]:
    recipe = small_recipe(*overrides)
    return {a.key.removeprefix("t2i/"): a for a in job_assets(recipe) if a.key.startswith("t2i/")}


def changed(setting: str, *before: str) -> set[str]:
    """The stages whose own settings a setting is part of."""
    old, new = small_recipe(*before), small_recipe(*before, setting)
    return {
        name
        for name, asset in graph(*before, setting).items()
        if asset.fingerprint(old, "d", {}) != asset.fingerprint(new, "d", {})
    }


@pytest.mark.parametrize(
    ("setting", "stages"),
    [
        ("curation.t2i.filters.min_sharpness=99", {"filtered"}),
        ("curation.t2i.filters.max_frame=0.5", {"filtered"}),
        ("curation.t2i.duplicates.max_distance=9", {"filtered"}),
        ("curation.t2i.selection.min_aesthetic=3", {"selected"}),
        ("curation.t2i.selection.min_similarity=0.9", {"selected"}),
        ("curation.t2i.topics.min_probability=0.5", {"topics"}),
        ("curation.t2i.balance.max_share=0.5", {"balanced"}),
        ("curation.t2i.captions.min_characters=9", {"captioned"}),
        ("curation.t2i.embedding={aesthetic: {kind: laion, weights: w}}", {"embedded", "topics"}),
        ("curation.t2i.filters.max_bytes=999", {"scored", "filtered"}),
    ],
)
def test_a_setting_belongs_to_its_stage_alone(setting: str, stages: set[str]) -> None:
    assert changed(setting, PICTURES) == stages


def test_the_order_of_the_topics_decides_which_wins() -> None:
    topics = "curation.t2i.topics.taxonomy={one: [cat], two: [dog]}"
    assert changed("curation.t2i.topics.taxonomy={two: [dog], one: [cat]}", topics) == {"topics"}
    assert changed(topics, topics) == set()


@pytest.mark.parametrize(
    ("setting", "stages"),
    [
        ("tokenizer.semantic.pretrained={path}", {"t2i/embedded", "t2i/topics", "tokenizer/joint"}),
        (
            "curation.t2i.embedding={{encoder: {{kind: open_clip, model: 'local-dir:{path}'}}}}",
            {"t2i/embedded", "t2i/topics"},
        ),
        (
            "curation.t2i.embedding={{aesthetic: {{kind: laion, weights: '{path}/weights.pth'}}}}",
            {"t2i/embedded", "t2i/topics"},
        ),
        (
            "model.text_tokenizer={path}",
            {"tokenizer/semantic", "tokens/t2i", "packs/alignment", "training/alignment"},
        ),
    ],
)
def test_other_weights_at_the_same_place_are_another_setting(
    setting: str, stages: set[str], tmp_path: Path
) -> None:
    """A local path says nothing of the files there."""
    weights = tmp_path / "model" / "weights.pth"
    weights.parent.mkdir()
    weights.write_bytes(b"one")
    recipe = small_recipe(PICTURES, setting.format(path=weights.parent))

    def names() -> dict[str, tuple[str, str]]:
        return {
            asset.key: (asset.fingerprint(recipe, "t2i-0000|demo", {}), asset.code_version(recipe))
            for asset in job_assets(recipe)
        }

    before = names()
    assert names() == before
    weights.write_bytes(b"two")
    os.utime(weights, ns=(0, 0))
    found = {key for key, now in names().items() if now[0] != before[key][0] and now[1] != before[key][1]}
    assert found >= stages
    assert "t2i/scored" not in found


def test_who_answers_and_how_fast_is_no_part_of_captions_by_the_source() -> None:
    server = "vlm={kind: openai, model: m, base_url: 'http://127.0.0.1:1/v1'}"
    captioned = "curation.t2i.captions.by=vlm"
    assert changed(server) == set()
    assert changed(server, captioned) == {"captioned"}
    assert changed("vlm.concurrency=3", captioned, server) == set()
    assert changed("vlm.temperature=1", captioned, server) == {"captioned"}


def test_stages_are_made_from_those_before() -> None:
    plain = {name: asset.inputs for name, asset in graph().items()}
    assert plain == {
        "scored": ("raw/t2i",),
        "filtered": ("t2i/scored",),
        "topics": ("t2i/filtered",),
        "balanced": ("t2i/topics",),
        "captioned": ("t2i/balanced",),
    }
    by_picture = {name: asset.inputs for name, asset in graph(PICTURES).items()}
    assert by_picture == plain | {
        "embedded": ("t2i/scored", "tokenizer/semantic"),
        "selected": ("t2i/filtered", "t2i/embedded", "t2i/scored"),
        "topics": ("t2i/selected", "t2i/embedded", "tokenizer/semantic"),
    }
    assert list(by_picture) == list(graph(PICTURES))


@pytest.mark.parametrize("setting", [PUBLISHED, OPEN_CLIP])
def test_a_published_encoder_depends_on_no_threshold(setting: str) -> None:
    """Embeddings are then made from the scores alone."""
    assets = graph(PICTURES, setting)
    assert assets["embedded"].inputs == ("t2i/scored",)
    assert assets["topics"].inputs == ("t2i/selected", "t2i/embedded")


def test_a_changed_threshold_scores_nothing_again(curated: Curated, instance: dg.DagsterInstance) -> None:
    project, _, first = curated
    stricter = Project(small_recipe("curation.t2i.filters.min_sharpness=120"), project.home)
    results = list(materialize_stale(stricter, instance, "t2i/*"))
    assert {r.asset for r in results if r.reused} == {"t2i/scored"}
    assert len([r for r in results if not r.reused]) == 2 * 4
    before = {r.partition: r.folder for r in first if r.asset == "t2i/scored"}
    assert {r.partition: r.folder for r in results if r.reused} == before
    assert sum(r.counts.rejected.get("blurred", 0) for r in results) > 0
    assert all(r.reused for r in materialize_stale(project, instance, "t2i/*")), "and back"
