"""The tokenizer as a whole: shapes on every schedule, files, presets, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizer_images import random_images
from torch import Tensor

from model.scales import ScaleSchedule, square, table14
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.tokenizer.decoders import PixelDecoder
from model.tokenizer.losses import LossWeights, TokenizerLoss


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


EVERY_SCHEDULE = [schedule for scales in (12, 16, 18) for schedule in table14(scales)]


@pytest.mark.parametrize("schedule", EVERY_SCHEDULE, ids=lambda schedule: schedule.name)
def test_tokens_and_images_have_the_shapes_of_every_schedule(schedule: ScaleSchedule) -> None:
    tokenizer = small_tokenizer()
    images = random_images(schedule, 1, seed=0)
    indices = tokenizer.encode(images, schedule)
    assert indices.shape == (1, schedule.tokens)
    assert indices.dtype == torch.int64
    assert tokenizer.decode(indices, schedule).shape == (1, 3, schedule.height, schedule.width)
    cells = schedule.grids[-1][0] * schedule.grids[-1][1]
    assert tokenizer.decode_semantics(indices, schedule).shape == (1, cells, 32)


@cache
def small_tokenizer() -> ImageTokenizer:
    """The tiny preset with CNNs that start at a quarter of the resolution, for pictures of a megapixel."""
    config = replace(TokenizerConfig.preset("tiny"), stem=4, multipliers=(1, 1, 2))
    return ImageTokenizer(config).eval()


def test_files_bring_the_same_tokenizer_back(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path / "saved")
    again = ImageTokenizer.from_pretrained(tmp_path / "saved")
    indices = tokenizer.encode(images, schedule)
    assert again.config == tokenizer.config
    assert torch.equal(again.encode(images, schedule), indices)
    assert torch.equal(again.decode(indices, schedule), tokenizer.decode(indices, schedule))
    assert torch.equal(again.codebook(), tokenizer.codebook())
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["codebook_size"] == 64


def test_saving_twice_gives_the_same_bytes(tokenizer: ImageTokenizer, tmp_path: Path) -> None:
    for name in ("one", "two"):
        tokenizer.save_pretrained(tmp_path / name)
    files = [sorted((tmp_path / name).iterdir()) for name in ("one", "two")]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_initialisation_depends_on_the_configured_seed_alone() -> None:
    config = TokenizerConfig.preset("tiny")
    torch.manual_seed(1)
    first = ImageTokenizer(config).state_dict()
    torch.manual_seed(2)
    second = ImageTokenizer(config).state_dict()
    other = ImageTokenizer(replace(config, seed=1)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["pixel_encoder.enter.1.weight"], other["pixel_encoder.enter.1.weight"])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 64, 60), r"\(2, 3, 64, 60\).*multiples of the stride 16"),
        ((2, 3, 128, 64), r"\(2, 3, 128, 64\) do not fit schedule square-16/4x4"),
        ((2, 3, 1, 64), r"\(2, 3, 1, 64\)"),
        ((2, 1, 64, 64), r"\(2, 1, 64, 64\)"),  # grey
        ((2, 4, 64, 64), r"\(2, 4, 64, 64\)"),  # alpha
        ((3, 64, 64), r"\(3, 64, 64\)"),
        ((0, 3, 64, 64), r"\(0, 3, 64, 64\)"),
    ],
)
def test_images_of_a_wrong_shape_are_refused(
    tokenizer: ImageTokenizer, schedule: ScaleSchedule, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer.encode(torch.zeros(shape), schedule)
    with pytest.raises(ValueError, match=message):
        TokenizerLoss(tokenizer, LossWeights())(torch.zeros(shape), schedule, seeded(0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule, value: float
) -> None:
    images[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match=r"\(8, 3, 64, 64\) hold values that are not finite"):
        tokenizer.encode(images, schedule)


def test_integers_and_foreign_schedules_are_refused(tokenizer: ImageTokenizer, images: Tensor) -> None:
    with pytest.raises(ValueError, match="uint8"):
        tokenizer.encode(images.to(torch.uint8), square([1, 4], 16))
    with pytest.raises(ValueError, match="cells of 8 pixels"):
        tokenizer.encode(images, square([1, 8], 8))


def test_indices_that_do_not_fit_are_refused(tokenizer: ImageTokenizer, schedule: ScaleSchedule) -> None:
    with pytest.raises(ValueError, match=r"\(1, 29\)"):
        tokenizer.decode(torch.zeros(1, 29, dtype=torch.int64), schedule)
    with pytest.raises(ValueError, match="outside the codebook of 64 rows"):
        tokenizer.decode(torch.full((1, 30), 64), schedule)


def test_weights_that_do_not_fit_their_config_are_named(tokenizer: ImageTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    for size in (32, 10**13):  # the second would not fit in any memory
        replace(tokenizer.config, codebook_size=size).save(tmp_path)
        with pytest.raises(ValueError, match=rf"code_use, which is \(64,\) and should be \({size},\)"):
            ImageTokenizer.from_pretrained(tmp_path)
    replace(tokenizer.config, decoder_blocks=2).save(tmp_path)
    with pytest.raises(ValueError, match=r"pixel_decoder\.levels\S+ which is missing and should be \("):
        ImageTokenizer.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"hidden_size": 3}')
    with pytest.raises(ValueError, match="hidden_size"):
        ImageTokenizer.from_pretrained(tmp_path)


def test_weights_that_are_not_finite_are_refused(tokenizer: ImageTokenizer, tmp_path: Path) -> None:
    with torch.no_grad():
        tokenizer.quantizer.pixel_VP[3, 4] = float("nan")
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"quantizer\.pixel_VP holds values that are not finite"):
        ImageTokenizer.from_pretrained(tmp_path)


def test_the_pixel_branch_alone_is_a_tokenizer_too(
    images: Tensor, schedule: ScaleSchedule, tmp_path: Path
) -> None:
    tokenizer = ImageTokenizer(TokenizerConfig.preset("tiny").pixel_branch()).eval()
    assert not [name for name in tokenizer.state_dict() if "semantic" in name]
    indices = tokenizer.encode(images, schedule)
    assert tokenizer.codebook().shape == (64, 8)
    tokenizer.save_pretrained(tmp_path)
    assert torch.equal(ImageTokenizer.from_pretrained(tmp_path).encode(images, schedule), indices)
    with pytest.raises(ValueError, match="no semantic branch"):
        tokenizer.decode_semantics(indices, schedule)


PRESETS = [
    ("tiny", 16),
    ("demo", 8),
    ("photo", 16),
    ("nextflow", 16),
    ("tokenflow-clipb", 16),
    ("tokenflow-siglip", 14),
]


@pytest.mark.parametrize(("name", "stride"), PRESETS)
def test_presets_have_the_published_codebook_widths(name: str, stride: int) -> None:
    config = TokenizerConfig.preset(name)
    widths = (config.semantic_width, config.pixel_width, config.codebook_width)
    assert (config.stride, *widths) == (stride, 32, 8, 40)


def test_decoders_have_the_published_sizes() -> None:
    """TokenFlow's table: 42 million parameters, 237 million enhanced."""
    plain = TokenizerConfig.preset("nextflow")
    with torch.device("meta"):
        sizes = [PixelDecoder(config) for config in (plain, plain.enhanced())]
    assert [round(sum(p.numel() for p in d.parameters()) / 1e6) for d in sizes] == [42, 237]


def test_unknown_presets_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'huge'.*'demo'"):
        TokenizerConfig.preset("huge")


@pytest.mark.parametrize(
    "change", [{"codebook_size": 1}, {"scale_dropout": 1.5}, {"pixel_width": 0}, {"multipliers": ()}]
)
def test_shapes_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"codebook|probability|widths"):
        replace(TokenizerConfig.preset("tiny"), **change)
