"""The linear path starts at principal components: an untrained tokenizer already codes colours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.tokenizer.codebook import initialize_codebook
from model.tokenizer.linear_path import principal_components, start_linear_path


def started(images: Tensor) -> ImageTokenizer:
    tokenizer = ImageTokenizer(TokenizerConfig.preset("tiny")).eval()
    start_linear_path(tokenizer.pixel_encoder, tokenizer.pixel_decoder, images, scales=4)
    return tokenizer


def test_it_reconstructs_as_well_as_the_principal_components(images: Tensor) -> None:
    tokenizer = started(images)
    with torch.no_grad():
        decoded = tokenizer.pixel_decoder(tokenizer.pixel_encoder(images))
    centred = images - images.mean(dim=(0, 2, 3))[:, None, None]
    _, deviations = principal_components(centred, stride=16, count=768)
    best = deviations[8:].square().sum() / 768
    assert (decoded - images).square().mean().item() == pytest.approx(best.item(), rel=1e-3)


def test_the_axes_are_orthonormal_and_sorted_by_deviation(images: Tensor) -> None:
    axes, deviations = principal_components(images, stride=16, count=8)
    assert torch.allclose(axes @ axes.T, torch.eye(8), atol=1e-5)
    assert torch.equal(deviations, deviations.sort(descending=True).values)


def test_features_are_as_long_as_a_few_codes(images: Tensor) -> None:
    with torch.no_grad():
        features = started(images).pixel_encoder(images)
    assert features.square().sum(dim=1).mean().sqrt().item() == pytest.approx(4 * 2 / 3, rel=0.01)


def test_a_fitted_tokenizer_reconstructs_before_any_training(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    decoded = tokenizer.decode(tokenizer.encode(images, schedule), schedule)
    error = (decoded - images).square().mean()
    flat = images.mean(dim=(2, 3), keepdim=True)
    assert error < 0.7 * (flat - images).square().mean()


def test_the_published_shape_has_no_linear_path(images: Tensor, schedule: ScaleSchedule) -> None:
    tokenizer = ImageTokenizer(replace(TokenizerConfig.preset("tiny"), linear_path=False))
    assert not [name for name, _ in tokenizer.named_parameters() if ".linear." in name and "pixel" in name]
    initialize_codebook(tokenizer, images, schedule, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="no linear path"):
        start_linear_path(tokenizer.pixel_encoder, tokenizer.pixel_decoder, images, scales=4)
