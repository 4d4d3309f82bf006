"""The tokenizer as a whole: shapes on every schedule, files, losses, training, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizer_images import random_images
from torch import Tensor

from model.scales import ScaleSchedule, square, table14
from model.tokenizer import DualTokenizer, TokenizerConfig

PARTS = ("reconstruction", "codebook", "commitment", "semantic")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("schedule", table14(12), ids=lambda schedule: schedule.name)
def test_tokens_and_images_have_the_shapes_of_every_schedule(schedule: ScaleSchedule) -> None:
    tokenizer = DualTokenizer(TokenizerConfig.preset("tiny")).eval()
    images = random_images(schedule, 1, seed=0)
    indices = tokenizer.encode(images, schedule)
    assert indices.shape == (1, schedule.tokens)
    assert indices.dtype == torch.int64
    assert tokenizer.decode(indices, schedule).shape == images.shape


def test_files_bring_the_same_tokenizer_back(
    tokenizer: DualTokenizer, images: Tensor, schedule: ScaleSchedule, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path / "saved")
    again = DualTokenizer.from_pretrained(tmp_path / "saved")
    indices = tokenizer.encode(images, schedule)
    assert again.config == tokenizer.config
    assert torch.equal(again.encode(images, schedule), indices)
    assert torch.equal(again.decode(indices, schedule), tokenizer.decode(indices, schedule))
    assert torch.equal(again.codebook(), tokenizer.codebook())
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["codebook_size"] == 64


def test_saving_twice_gives_the_same_bytes(tokenizer: DualTokenizer, tmp_path: Path) -> None:
    for name in ("one", "two"):
        tokenizer.save_pretrained(tmp_path / name)
    files = [sorted((tmp_path / name).iterdir()) for name in ("one", "two")]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_initialisation_depends_on_the_configured_seed_alone() -> None:
    config = TokenizerConfig.preset("tiny")
    torch.manual_seed(1)
    first = DualTokenizer(config).state_dict()
    torch.manual_seed(2)
    second = DualTokenizer(config).state_dict()
    other = DualTokenizer(replace(config, seed=1)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["pixel_encoder.cnn.1.weight"], other["pixel_encoder.cnn.1.weight"])


def test_the_loss_is_the_weighted_sum_of_its_parts(images: Tensor, schedule: ScaleSchedule) -> None:
    config = replace(TokenizerConfig.preset("tiny"), codebook_weight=2.0, semantic_weight=0.5)
    result = DualTokenizer(config).training_losses(images, schedule, seeded(0))
    weights = (1.0, 2.0, 0.25, 0.5)
    expected = sum(w * result[f"{part}_loss"] for w, part in zip(weights, PARTS, strict=True))
    assert torch.allclose(result["loss"], torch.as_tensor(expected))
    assert result["reconstruction"].shape == images.shape
    mean_square = (result["reconstruction"] - images).square().mean()
    assert torch.allclose(result["reconstruction_loss"], mean_square)


def test_every_parameter_learns_but_the_teachers(
    tokenizer: DualTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    tokenizer.train().training_losses(images, schedule, seeded(0))["loss"].backward()
    without = {name for name, parameter in tokenizer.named_parameters() if parameter.grad is None}
    assert without == {name for name, _ in tokenizer.named_parameters() if name.startswith("teacher.")}
    assert without


def test_a_few_steps_on_schedules_of_several_shapes_lower_the_loss() -> None:
    tokenizer = DualTokenizer(TokenizerConfig.preset("tiny")).train()
    wide, tall = (ScaleSchedule(name, ((1, 1), grid)) for name, grid in (("w", (2, 4)), ("t", (3, 2))))
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
    losses = []
    for step in range(16):
        schedule = (wide, tall)[step % 2]
        result = tokenizer.training_losses(random_images(schedule, 2, seed=0), schedule, seeded(step))
        optimizer.zero_grad()
        result["loss"].backward()
        optimizer.step()
        losses.append(float(result["reconstruction_loss"].detach()))
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def used_tokens(tokenizer: DualTokenizer, images: Tensor, schedule: ScaleSchedule, seed: int) -> int:
    """Tokens that one call of `training_losses` quantises, per image."""
    tokenizer.code_use.zero_()
    tokenizer.training_losses(images, schedule, seeded(seed))
    return int(tokenizer.code_use.sum()) // len(images)


def test_scale_dropout_keeps_the_first_and_the_last_scale(images: Tensor, schedule: ScaleSchedule) -> None:
    tokenizer = DualTokenizer(replace(TokenizerConfig.preset("tiny"), scale_dropout=1.0)).train()
    assert used_tokens(tokenizer, images, schedule, 0) == 1 + 16
    assert used_tokens(tokenizer.eval(), images, schedule, 0) == schedule.tokens


def test_scale_dropout_follows_the_generator(images: Tensor, schedule: ScaleSchedule) -> None:
    tokenizer = DualTokenizer(TokenizerConfig.preset("tiny")).train()
    draws = [used_tokens(tokenizer, images[:1], schedule, seed) for seed in range(12)]
    again = [used_tokens(tokenizer, images[:1], schedule, seed) for seed in range(12)]
    assert draws == again
    assert set(draws) == {17, 21, 26, 30}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 64, 60), r"\(2, 3, 64, 60\).*multiples of the stride 16"),
        ((2, 3, 128, 64), r"\(2, 3, 128, 64\) do not fit schedule square-16/4x4"),
        ((2, 1, 64, 64), r"\(2, 1, 64, 64\)"),
        ((3, 64, 64), r"\(3, 64, 64\)"),
        ((0, 3, 64, 64), r"\(0, 3, 64, 64\)"),
    ],
)
def test_images_of_a_wrong_shape_are_refused(
    tokenizer: DualTokenizer, schedule: ScaleSchedule, shape: tuple[int, ...], message: str
) -> None:
    for method in (tokenizer.encode, tokenizer.training_losses):
        arguments = (seeded(0),) if method == tokenizer.training_losses else ()
        with pytest.raises(ValueError, match=message):
            method(torch.zeros(shape), schedule, *arguments)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(
    tokenizer: DualTokenizer, images: Tensor, schedule: ScaleSchedule, value: float
) -> None:
    images[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match=r"\(8, 3, 64, 64\) hold values that are not finite"):
        tokenizer.encode(images, schedule)


def test_integers_and_foreign_schedules_are_refused(tokenizer: DualTokenizer, images: Tensor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        tokenizer.encode(images.to(torch.uint8), square([1, 4], 16))
    with pytest.raises(ValueError, match="cells of 8 pixels"):
        tokenizer.encode(images, square([1, 8], 8))


def test_indices_that_do_not_fit_are_refused(tokenizer: DualTokenizer, schedule: ScaleSchedule) -> None:
    with pytest.raises(ValueError, match=r"\(1, 29\)"):
        tokenizer.decode(torch.zeros(1, 29, dtype=torch.int64), schedule)
    with pytest.raises(ValueError, match="outside the codebook of 64 rows"):
        tokenizer.decode(torch.full((1, 30), 64), schedule)


@pytest.mark.parametrize(("name", "stride"), [("tiny", 16), ("demo", 8), ("photo", 16), ("full", 16)])
def test_presets_have_the_published_codebook_widths(name: str, stride: int) -> None:
    config = TokenizerConfig.preset(name)
    assert (config.stride, config.semantic_width, config.pixel_width, config.codebook_width) == (
        stride,
        32,
        8,
        40,
    )


def test_unknown_presets_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'huge'.*'demo'"):
        TokenizerConfig.preset("huge")
