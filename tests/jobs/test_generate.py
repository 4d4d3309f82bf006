"""Generation: a seed gives the same pictures, and the file says how they were made."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.generate import PNG_KEY, Generator, generate, sample_seeds
from jobs.recipe import Level, Sampling
from tests.jobs.support import LEVEL, commit, publish_tokenizer, publish_transformer

Models = tuple[str, str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    return publish_transformer(folder / "transformer"), publish_tokenizer(folder / "tokenizer")


def make(models: Models, prompts: list[str], samples: int = 1, seed: int = 0, **settings: Any) -> Image.Image:
    progress = settings.pop("progress", None)
    png = generate(
        *models,
        settings.pop("level", LEVEL),
        prompts,
        text_tokenizer=settings.pop("text_tokenizer", "builtin"),
        samples=samples,
        seed=seed,
        sampling=Sampling(**settings),
        progress=progress,
    )
    return Image.open(io.BytesIO(png))


def test_one_picture_is_written_as_it_is_and_says_how_it_was_made(models: Models) -> None:
    picture = make(models, ["a red circle"], seed=3, guidance=1.5)
    assert picture.size == (64, 64)
    made_by = json.loads(picture.info[PNG_KEY])
    assert made_by["prompts"] == {"a red circle": sample_seeds(3, "a red circle", 1)}
    assert made_by["sampling"]["guidance"] == 1.5
    assert made_by["model"] == read_manifest(models[0]).hash


def test_several_pictures_are_a_grid(models: Models) -> None:
    grid = make(models, ["a red circle", "two blue stars"], samples=3)
    assert grid.width > 3 * 64
    assert grid.height > 2 * 64


def test_the_seed_decides_the_picture(models: Models) -> None:
    one, same, other = (np.asarray(make(models, ["a star"], seed=seed)) for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_more_samples_leave_the_first_ones_as_they_were(models: Models) -> None:
    generator = Generator.load(*models, LEVEL, "builtin")
    few = generator.sample("a star", sample_seeds(0, "a star", 1), Sampling())
    many = generator.sample("a star", sample_seeds(0, "a star", 3), Sampling())
    assert np.abs(np.asarray(few[0], int) - np.asarray(many[0], int)).max() <= 2
    assert (np.asarray(many[0]) != np.asarray(many[1])).any()


def test_progress_runs_over_the_scales_of_all_prompts(models: Models) -> None:
    told: list[tuple[int, int]] = []
    make(models, ["a star", "a circle"], progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 8) for done in range(1, 9)]


def test_a_level_of_many_aspect_ratios_gives_its_square(models: Models) -> None:
    assert make(models, ["a star"], level=Level(schedule="table14", scales=4)).size == (64, 64)


def test_a_diverged_model_is_one_clear_line(models: Models, tmp_path: Path) -> None:
    publish_transformer(tmp_path)
    weights = load_file(tmp_path / "data/model.safetensors")
    broken = {name: torch.full_like(value, torch.nan) for name, value in weights.items()}
    save_file(broken, tmp_path / "data/model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="not finite") as caught:
        make((str(tmp_path), models[1]), ["a star"])
    assert str(tmp_path) in str(caught.value)


def test_an_output_without_a_model_and_an_unknown_text_tokenizer_are_named(
    models: Models, tmp_path: Path
) -> None:
    empty = commit(tmp_path / "empty", "training/pretrain", [])
    with pytest.raises(UserError, match="0 models where there should be one"):
        make((empty, models[1]), ["a star"])
    with pytest.raises(UserError, match=r"model\.text_tokenizer"):
        make(models, ["a star"], text_tokenizer=str(tmp_path / "nothing"))
