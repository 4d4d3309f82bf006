"""How a training starts from the one before: pixel branch into both branches, decoder into a larger one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tokenizer_images import random_images
from torch import Tensor

from model.scales import ScaleSchedule, square
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.tokenizer.codebook import initialize_codebook
from model.tokenizer.losses import LossWeights, TokenizerLoss
from model.tokenizer.warm_start import enhanced_tokenizer, start_joint

TINY = TokenizerConfig.preset("tiny")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pixel(images: Tensor, schedule: ScaleSchedule) -> ImageTokenizer:
    """A pixel branch with its codebook fitted."""
    tokenizer = ImageTokenizer(TINY.pixel_branch()).eval()
    initialize_codebook(tokenizer, images, schedule, seeded(0))
    return tokenizer


def test_the_pixel_branch_is_taken_over(
    pixel: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    joint = ImageTokenizer(TINY).eval()
    start_joint(joint, pixel, images, schedule, seeded(1))
    assert torch.equal(joint.quantizer.pixel_VP, pixel.quantizer.pixel_VP)
    assert torch.equal(joint.pixel_encoder(images), pixel.pixel_encoder(images))
    codes = torch.randn(1, 8, 3, 2)
    assert torch.equal(joint.pixel_decoder(codes), pixel.pixel_decoder(codes))


def test_semantic_codes_are_means_of_the_features_that_the_pixel_branch_gave_their_index() -> None:
    """On one cell, where no residual is left over, the means can be had at once."""
    schedule, config = ScaleSchedule("one", ((1, 1),)), replace(TINY, unit_codes=False, codebook_size=4)
    images = torch.rand(32, 3, 16, 16, generator=seeded(2)) * 2 - 1
    joint, pixel = ImageTokenizer(config).eval(), ImageTokenizer(config.pixel_branch()).eval()
    initialize_codebook(pixel, images, schedule, seeded(0))
    start_joint(joint, pixel, images, schedule, seeded(1))
    rows = pixel.encode(images, schedule)[:, 0]
    features, codes = joint.features(images).detach()[:, :32, 0, 0], joint.codebook()[:, :32]
    for row in rows.unique().tolist():
        assert torch.allclose(codes[row], features[rows == row].mean(dim=0), atol=1e-5), row
    assert len(rows.unique()) > 1


@pytest.mark.parametrize(("unit_codes", "sides"), [(True, 4), (False, 4), (False, 12)])
def test_warm_codes_choose_and_draw_what_the_pixel_branch_does(unit_codes: bool, sides: int) -> None:
    """On a deep pyramid too, where what many scales explain adds up."""
    config = replace(TINY, unit_codes=unit_codes, pixel_distance_weight=16.0)
    schedule = square(range(1, sides + 1), cell=16)
    images = random_images(schedule, 8, seed=1)
    pixel, warm = ImageTokenizer(config.pixel_branch()).eval(), ImageTokenizer(config).eval()
    initialize_codebook(pixel, images, schedule, seeded(0))
    start_joint(warm, pixel, images, schedule, seeded(1))
    expected = pixel.encode(images, schedule)
    error = (pixel.decode(expected, schedule) - images).square().mean()

    def agrees(tokenizer: ImageTokenizer) -> bool:
        indices = tokenizer.encode(images, schedule)
        same = float((indices == expected).double().mean())
        drawn = float((tokenizer.decode(indices, schedule) - images).square().mean())
        return same > 0.5 and drawn < 1.3 * float(error)

    assert agrees(warm)
    warm.quantizer.set_rows(torch.arange(64), warm.codebook().roll(1, 0))
    assert not agrees(warm)


def test_a_pixel_branch_of_another_shape_is_refused(images: Tensor, schedule: ScaleSchedule) -> None:
    other = ImageTokenizer(replace(TINY.pixel_branch(), codebook_size=32))
    with pytest.raises(ValueError, match=r"codebook_size.*\(64, 32\)"):
        start_joint(ImageTokenizer(TINY), other, images, schedule, seeded(0))


def test_a_larger_decoder_leaves_the_indices(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    enhanced = enhanced_tokenizer(tokenizer).eval()
    indices = tokenizer.encode(images, schedule)
    assert torch.equal(enhanced.encode(images, schedule), indices)
    assert enhanced.config.decoder_channels == 2 * tokenizer.config.decoder_channels
    sizes = [sum(p.numel() for p in t.pixel_decoder.parameters()) for t in (tokenizer, enhanced)]
    assert sizes[1] > 3 * sizes[0]


@pytest.mark.parametrize("name", ["tiny", "demo", "photo"])
def test_a_larger_decoder_begins_by_drawing_the_same(name: str) -> None:
    torch.manual_seed(0)
    small = ImageTokenizer(TokenizerConfig.preset(name))
    with torch.no_grad():
        for parameter in small.pixel_decoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    codes = torch.randn(2, 8, 5, 3)
    large = enhanced_tokenizer(small)
    assert torch.allclose(large.pixel_decoder(codes), small.pixel_decoder(codes), atol=1e-4)
    with torch.no_grad():
        large.pixel_decoder.enter.weight[0] *= 1.5
    assert not torch.allclose(large.pixel_decoder(codes), small.pixel_decoder(codes), atol=1e-2)


def test_doubled_channels_learn_different_things(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    large = enhanced_tokenizer(tokenizer)
    TokenizerLoss(large, LossWeights(), decoder_alone=True)(images, schedule, seeded(0))[0]["loss"].backward()
    gradient = large.pixel_decoder.leave[-1].weight.grad
    assert torch.allclose(gradient[:, 0], gradient[:, 1], atol=1e-6)  # the copies are still alike,
    with torch.no_grad():
        large.pixel_decoder.leave[-1].weight.add_(0.1 * torch.randn(gradient.shape, generator=seeded(1)))
    large.zero_grad()
    TokenizerLoss(large, LossWeights(), decoder_alone=True)(images, schedule, seeded(0))[0]["loss"].backward()
    gradient = large.pixel_decoder.levels[0].blocks[0].conv1.weight.grad
    assert not torch.allclose(gradient[0], gradient[1], atol=1e-9)  # but what reads them tells them apart
