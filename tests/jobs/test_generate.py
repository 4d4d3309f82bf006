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
from infra.manifest import Output, read_manifest
from jobs.generate import Ask, Generator, generate, sample_seeds
from jobs.recipe import Level, Sampling
from jobs.written import PNG_KEY, Generation, images, markdown_files, sheet_png, texts
from model.tokenizer import ImageTokenizer, TokenizerConfig
from tests.jobs.support import LEVEL, commit, publish_tokenizer, publish_transformer

Models = tuple[str, str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    return publish_transformer(folder / "transformer"), publish_tokenizer(folder / "tokenizer")


def write(
    models: Models, asks: list[Ask], samples: int = 1, seed: int = 0, level: Level = LEVEL, **settings: Any
) -> Generation:
    options = {name: settings.pop(name) for name in ("progress", "aspect") if name in settings}
    return generate(
        *models,
        level,
        asks,
        text_tokenizer=settings.pop("text_tokenizer", "builtin"),
        samples=samples,
        seed=seed,
        sampling=Sampling(**settings),
        **options,
    )


def make(models: Models, prompts: list[str], **settings: Any) -> Image.Image:
    generation = write(models, [Ask(prompt) for prompt in prompts], **settings)
    return Image.open(io.BytesIO(sheet_png(generation)))


def picture(colour: str, width: int = 64, height: int = 64) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


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
    told: list[tuple[int, int, str]] = []
    make(models, ["a star", "a circle"], progress=lambda *at: told.append(at))
    assert told == [(done, 8, "scales") for done in range(1, 9)]


def test_progress_counts_the_tokens_of_all_prompts(models: Models) -> None:
    """Text may end early: what is told last is what was written, and no longer what might have been."""
    told: list[tuple[int, int, str]] = []
    asks = [Ask(prompt, mode="text", max_text=5) for prompt in ("a star", "a circle", "a square")]
    written = write(models, asks, samples=2, progress=lambda *at: told.append(at)).written
    assert all(texts(text) for samples in written for text in samples)
    counts = [done for done, _, _ in told]
    assert counts == sorted(counts)
    assert told[0] == (2, 30, "tokens")
    assert told[-1][0] <= told[-1][1] <= 30
    assert {unit for _, _, unit in told} == {"tokens"}


def test_progress_of_thoughts_tells_tokens_and_scales(models: Models) -> None:
    told: dict[str, tuple[int, int]] = {}
    asks = [Ask(prompt, mode="think", max_text=3) for prompt in ("a star", "a circle")]
    write(models, asks, progress=lambda done, most, unit: told.update({unit: (done, most)}))
    assert told["scales"] == (8, 8)
    assert 0 < told["tokens"][0] <= 6


def test_a_level_of_many_aspect_ratios_gives_its_square(models: Models) -> None:
    assert make(models, ["a star"], level=Level(schedule="table14", scales=4)).size == (64, 64)


def test_a_picture_has_the_nearest_aspect_ratio_of_its_level(models: Models) -> None:
    level = Level(schedule="table14", scales=4)
    wide = make(models, ["a star"], level=level, aspect=(1000, 501))
    assert wide.width > wide.height


def test_an_edit_depends_on_its_picture_and_on_where_it_stands(models: Models) -> None:
    asks = [
        Ask("make it blue", (picture("red"),)),
        Ask("make it blue", (picture("green"),)),
        Ask("make it <image> blue", (picture("red"),)),
        Ask("make it blue"),
    ]
    # Untrained weights hardly tell contexts apart; strong guidance shows what little they do.
    made = [np.asarray(images(write(models, [ask], guidance=100).written[0][0])[0]) for ask in asks]
    for number, one in enumerate(made):
        assert not any((one == other).all() for other in made[number + 1 :])


def test_the_size_of_a_picture_that_is_read_need_not_be_that_of_the_one_to_make(models: Models) -> None:
    level = Level(schedule="table14", scales=4)
    made = write(models, [Ask("taller", (picture("red", 90, 30),))], level=level, aspect=(1, 2))
    (image,) = images(made.written[0][0])
    assert image.height > image.width


def test_text_is_written_about_a_picture(models: Models) -> None:
    ask = Ask("what is this?", (picture("red"),), mode="text", max_text=12)
    ((written, other),) = write(models, [ask], samples=2).written
    assert images(written) == []
    assert texts(written) != texts(other)


def test_a_thought_comes_before_its_picture(models: Models) -> None:
    made = write(models, [Ask("a star", mode="think", max_text=5)])
    *thought, image = made.written[0][0]
    assert all(isinstance(part, str) for part in thought)
    assert isinstance(image, Image.Image)


def test_an_interleaved_document_is_markdown_with_its_pictures(models: Models) -> None:
    ask = Ask("a story", mode="interleaved", max_text=2000, max_images=2)
    files = markdown_files(write(models, [ask], seed=1), "story")
    text = files.pop("story.md").decode()
    assert text.startswith("## a story\n")
    assert sorted(files) == [f"story-{n}.png" for n in range(1, len(files) + 1)]
    for name, content in files.items():
        assert f"![picture]({name})" in text
        assert PNG_KEY in Image.open(io.BytesIO(content)).info


def test_what_cannot_be_asked_is_one_clear_line(models: Models) -> None:
    with pytest.raises(UserError, match="2 marks <image> in the prompt and 1 pictures"):
        write(models, [Ask("<image> or <image>", (picture("red"),))])
    with pytest.raises(UserError, match=r"exceed the model's 32768"):
        write(models, [Ask("a star " * 40_000)])
    with pytest.raises(UserError, match="nothing to continue"):
        write(models, [Ask("", mode="text")])


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


def test_a_damaged_model_is_named_with_what_is_wrong(models: Models, tmp_path: Path) -> None:
    for folder, publish in (("transformer", publish_transformer), ("tokenizer", publish_tokenizer)):
        publish(tmp_path / folder)
        weights = tmp_path / folder / "data/model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    for pair in ((str(tmp_path / "transformer"), models[1]), (models[0], str(tmp_path / "tokenizer"))):
        with pytest.raises(UserError, match=r"the model cannot be read .*safetensors"):
            make(pair, ["a star"])


def test_a_model_of_another_vocabulary_is_refused(models: Models, tmp_path: Path) -> None:
    config = TokenizerConfig(**{**vars(TokenizerConfig.preset("tiny")), "codebook_size": 96})
    ImageTokenizer(config).save_pretrained(tmp_path / "data")
    files = [(f"data/{name}", tmp_path / "data" / name) for name in ("config.json", "model.safetensors")]
    output = Output(str(tmp_path))
    other = commit(
        tmp_path, "tokenizer/joint", [output.publish(path, file.read_bytes()) for path, file in files]
    )
    with pytest.raises(UserError, match=r"codes does not fit tokenizers of \d+ and 96"):
        make((models[0], other), ["a star"])
