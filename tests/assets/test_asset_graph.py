"""The graph of the demo recipe: assets, what they are made from, groups, partitions and checks."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from assets.build import build_assets
from assets.graph import job_assets
from assets.partitions import drop_level, partition_keys, upstream_partitions
from assets.project import Project
from assets.selection import select
from infra.errors import UserError
from jobs.recipe import SemanticEncoder
from pipelines.definitions import build_definitions
from pipelines.project import DEMO_RECIPE, load_recipe

SNAPSHOT = Path(__file__).with_name("demo_graph.json")


def describe_graph(project: Project) -> dict[str, dict[str, object]]:
    """Every asset's spec as plain values."""
    found: dict[str, dict[str, object]] = {}
    for definition in build_assets(project):
        specs = [definition] if isinstance(definition, dg.AssetSpec) else list(definition.specs)
        checks = [] if isinstance(definition, dg.AssetSpec) else list(definition.check_specs)
        for spec in specs:
            found[spec.key.to_user_string()] = {
                "group": spec.group_name,
                "inputs": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
                "partitions": _partitions(spec.partitions_def),
                "checks": sorted(check.name for check in checks if check.blocking),
                "job": spec.metadata.get("job"),
            }
    return found


def _partitions(definition: dg.PartitionsDefinition | None) -> object:
    if isinstance(definition, dg.MultiPartitionsDefinition):
        return {d.name: _partitions(d.partitions_def) for d in definition.partitions_defs}
    if isinstance(definition, dg.DynamicPartitionsDefinition):
        return definition.name
    return definition.get_partition_keys() if definition else None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(load_recipe(DEMO_RECIPE), str(tmp_path))


def test_the_demo_graph_is_the_one_on_record(project: Project) -> None:
    """After a wanted change: replace the record with what the failure shows."""
    assert describe_graph(project) == json.loads(SNAPSHOT.read_text())


def test_dagster_accepts_the_definitions(project: Project) -> None:
    definitions = build_definitions(lambda: project)
    dg.Definitions.validate_loadable(definitions)
    names = {job.name for job in definitions.resolve_all_job_defs()}
    assert {"curate_t2i", "train_tokenizer", "extract_t2i", "extract_text", "train_and_evaluate"} <= names


def test_every_job_asset_has_a_blocking_check(project: Project) -> None:
    assert all(asset.checks for asset in job_assets(project.recipe))


def test_inputs_come_first(project: Project) -> None:
    seen = {f"raw/{family}" for family in project.recipe.sources.given()}
    for asset in job_assets(project.recipe):
        assert set(asset.inputs) <= seen
        seen.add(asset.key)


def test_stages_are_the_recipes(project: Project) -> None:
    stage = project.recipe.stages["alignment"]
    stages = {"first": stage, "second": stage}
    recipe = project.recipe.model_copy(update={"stages": stages})
    recipe = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"stages": []})})
    graph = {asset.key: asset for asset in job_assets(recipe)}
    assert graph["training/second"].inputs == ("packs/second", "tokenizer/joint", "training/first")
    assert graph["training/first"].inputs == ("packs/first", "tokenizer/joint")
    assert [key for key in graph if key.startswith("evaluation/")] == ["evaluation/tokenizer"]


def test_partition_keys() -> None:
    drops = ["a", "b"]
    assert partition_keys("none", [], drops) == [None]
    assert partition_keys("drop", [], drops) == ["a", "b"]
    assert partition_keys("level", ["x", "y"], drops) == ["x", "y"]
    assert partition_keys("drop_level", ["x", "y"], drops) == ["a|x", "b|x", "a|y", "b|y"]


def test_what_a_partition_is_made_from() -> None:
    drops = ["a", "b"]
    assert upstream_partitions("drop", "a", "drop", drops, None) == ["a"]
    assert upstream_partitions("none", None, "drop", drops, None) == ["a", "b"]
    assert upstream_partitions("drop_level", drop_level("b", "x"), "drop", drops, None) == ["b"]
    assert upstream_partitions("drop_level", drop_level("b", "x"), "none", drops, None) == [None]
    assert upstream_partitions("none", None, "drop_level", drops, "x") == ["a|x", "b|x"]
    assert upstream_partitions("none", None, "level", drops, "x") == ["x"]
    assert upstream_partitions("level", "x", "none", drops, None) == [None]


def test_tokens_are_cut_as_what_they_are_made_from(project: Project) -> None:
    graph = {asset.key: asset for asset in job_assets(project.recipe)}
    cut = {key: (a.partitioning, a.family, a.levels) for key, a in graph.items() if a.group == "tokens"}
    assert cut == {
        "tokens/t2i": ("drop_level", "t2i", ("demo",)),
        "tokens/understanding": ("drop_level", "t2i", ("demo",)),
        "tokens/edit": ("level", "edit", ("demo",)),
        "tokens/subject": ("drop_level", "subject", ("demo",)),
        "tokens/text": ("none", "text", ()),
    }
    assert graph["tokens/text"].inputs == ("text/mixed",)
    assert graph["packs/alignment"].inputs == ("tokens/t2i", "tokenizer/joint")


def test_a_family_is_extracted_at_the_levels_that_mix_it(project: Project) -> None:
    first, second = (project.recipe.stages[name] for name in ("alignment", "pretrain_256"))
    stages = {
        "first": first.model_copy(update={"mixture": {"t2i": 1.0}}),
        "second": second.model_copy(
            update={"mixture": {"t2i": 0.5, "edit": 0.5, "text": 0.0}, "level": "fine"}
        ),
    }
    levels = dict.fromkeys(("demo", "fine"), project.recipe.levels["demo"])
    recipe = project.recipe.model_copy(update={"stages": stages, "levels": levels})
    tokens = {a.key: a.levels for a in job_assets(recipe) if a.group == "tokens"}
    assert tokens == {"tokens/t2i": ("demo", "fine"), "tokens/edit": ("fine",)}


def test_a_mixture_of_what_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match=r"stages\.alignment mixes video, but the sources give"):
        load_recipe(DEMO_RECIPE, ["stages.alignment.mixture={t2i: 1, video: 1}"])
    with pytest.raises(UserError, match="no family has a weight above 0"):
        load_recipe(DEMO_RECIPE, ["stages.alignment.mixture={t2i: 0}"])


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("t2i/topics", {"t2i/topics"}),
        ("+t2i/filtered", {"t2i/scored", "t2i/filtered"}),
        (
            "+t2i/topics",
            {
                "tokenizer/semantic",
                *(f"t2i/{s}" for s in ("scored", "filtered", "embedded", "selected", "topics")),
            },
        ),
        ("t2i/balanced,t2i/c*", {"t2i/balanced", "t2i/captioned"}),
        ("packs/alignment, tokenizer/joint", {"packs/alignment", "tokenizer/joint"}),
        ("training/pretrain_256+", {"training/pretrain_256", "evaluation/pretrain_256/fixed_prompts"}),
    ],
)
def test_selection(project: Project, selection: str, expected: set[str]) -> None:
    assert {asset.key for asset in select(job_assets(project.recipe), selection)} == expected


def test_a_misspelt_selection_suggests(project: Project) -> None:
    with pytest.raises(UserError, match="Did you mean 't2i/filtered'"):
        select(job_assets(project.recipe), "t2i/filterd")


def test_thresholds_of_checks_do_not_change_what_is_made(project: Project) -> None:
    """Lowering a floor checks again; it does not train again."""
    asset = next(a for a in job_assets(project.recipe) if a.key == "tokenizer/joint")
    section = project.recipe.tokenizer
    lower = project.recipe.model_copy(update={"tokenizer": section.model_copy(update={"min_psnr": 3.0})})
    longer = project.recipe.model_copy(update={"tokenizer": section.model_copy(update={"ema": 0.9})})
    names = [asset.fingerprint(recipe, None, {}) for recipe in (project.recipe, lower, longer)]
    versions = {asset.code_version(recipe) for recipe in (project.recipe, lower, longer)}
    assert names[0] == names[1] != names[2]
    assert len(versions) == 3


def test_what_the_tokenizer_stages_are_made_from(project: Project) -> None:
    def inputs(**tokenizer: object) -> dict[str, tuple[str, ...]]:
        section = project.recipe.tokenizer.model_copy(update=tokenizer)
        recipe = project.recipe.model_copy(update={"tokenizer": section})
        return {a.key: a.inputs for a in job_assets(recipe) if a.group == "tokenizer"}

    assert inputs()["tokenizer/joint"] == ("t2i/captioned", "tokenizer/pixel", "tokenizer/semantic")
    assert "tokenizer/faces" in inputs(face_oversampling=2)["tokenizer/pixel"]
    published = inputs(semantic=SemanticEncoder(pretrained="google/siglip2-so400m-patch16-naflex"))
    assert "tokenizer/semantic" not in published
    assert published["tokenizer/joint"] == ("t2i/captioned", "tokenizer/pixel")


def test_a_longer_last_training_changes_nothing_before_it(project: Project) -> None:
    section = project.recipe.tokenizer
    decoder = section.decoder.model_copy(update={"steps": 7})
    longer = project.recipe.model_copy(update={"tokenizer": section.model_copy(update={"decoder": decoder})})
    changed = {
        asset.key
        for asset in job_assets(project.recipe)
        if not asset.levels
        and asset.fingerprint(project.recipe, None, {}) != asset.fingerprint(longer, None, {})
    }
    assert changed == {"tokenizer/decoder"}
