"""A home remembers its recipe, resolved; shipped recipes load and fit the models they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import UserError
from infra.yaml_model import load_yaml_model
from jobs.recipe import FolderSource, Recipe
from model.scales import level_schedules
from model.text import load_text_tokenizer
from model.tokenizer.config import TokenizerConfig
from model.transformer.config import TransformerConfig
from pipelines.cli.workspace import SHIPPED, begin, begin_or_resume, resume, shipped_recipes

RECIPES = list(shipped_recipes())


def test_what_ships() -> None:
    assert {"demo", "folder"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_loads_and_fits_together(name: str) -> None:
    recipe = load_yaml_model(Recipe, str(SHIPPED / f"{name}.yaml"))
    assert recipe.name == name
    tokenizer = TokenizerConfig.preset(recipe.tokenizer.preset)
    text = load_text_tokenizer(recipe.model.text_tokenizer)
    TransformerConfig.preset(
        recipe.model.preset,
        text_vocabulary=text.size,
        codebook_size=tokenizer.codebook_size,
        codebook_width=tokenizer.codebook_width,
        end_id=text.end_id,
    )
    assert tokenizer.stride == recipe.levels[recipe.tokenizer.level].cell
    assert recipe.tokens.self_correction.top_k <= tokenizer.codebook_size
    for stage in recipe.stages.values():
        level = recipe.levels[stage.level]
        longest = max(
            s.tokens for s in level_schedules(level.schedule, level.scales, level.cell, level.margin)
        )
        # Room for a long caption and for several pictures in a pack.
        assert stage.packing.max_tokens > 2 * longest
        assert stage.warmup_steps < stage.steps


@pytest.fixture(params=["local", "s3"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return (
        str(tmp_path / "home") if request.param == "local" else request.getfixturevalue("s3_root") + "/home"
    )


def test_a_home_remembers_its_recipe(home: str) -> None:
    begun = begin(home, "demo", ["sources.t2i.count=7"])
    resumed = resume(home)
    assert resumed == begun
    assert resumed.recipe.sources.t2i.model_dump()["count"] == 7
    assert load_yaml_model(Recipe, resumed.recipe_path) == begun.recipe


def test_settings_change_the_recipe_that_a_home_remembers(home: str) -> None:
    begin(home, "demo", ["seed=3"])
    changed = begin_or_resume(home, None, ["name=mine"])
    assert (changed.recipe.seed, changed.recipe.name) == (3, "mine")
    assert resume(home) == changed


def test_a_relative_source_means_the_same_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = begin("home", "folder", ["sources.t2i.uri=./mine"]).recipe.sources.t2i
    assert isinstance(source, FolderSource)
    assert source.uri == str(tmp_path / "mine")
    again = begin("home", "folder", ["sources.t2i.uri=s3://bucket/mine"]).recipe.sources.t2i
    assert isinstance(again, FolderSource)
    assert again.uri == "s3://bucket/mine"


def test_a_home_without_a_recipe_says_how_to_begin(home: str) -> None:
    with pytest.raises(UserError, match=r"nothing was run in this home yet\. Run: nextscale demo"):
        resume(home)
