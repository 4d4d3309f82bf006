"""The two encoders and the semantic decoder: patches as SigLIP2 cuts them, positions, any aspect ratio."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.models.siglip2.image_processing_pil_siglip2 import convert_image_to_patches

from model.tokenizer import TokenizerConfig
from model.tokenizer.decoders import SemanticDecoder
from model.tokenizer.encoders import PixelEncoder
from model.tokenizer.losses import semantic_loss
from model.tokenizer.positions import sincos_positions
from model.tokenizer.vision import build_vision_tower, patches

TINY = TokenizerConfig.preset("tiny")


def test_patches_are_cut_as_siglips_processor_cuts_them() -> None:
    image = torch.arange(3 * 32 * 48.0).reshape(3, 32, 48)
    expected = convert_image_to_patches(image.numpy(), 16)
    assert np.array_equal(patches(image[None], 16)[0].numpy(), expected)


@pytest.mark.parametrize("grid", [(1, 1), (2, 5), (7, 3)])
def test_both_encoders_give_one_cell_for_each_patch(grid: tuple[int, int]) -> None:
    images = torch.zeros(2, 3, 16 * grid[0], 16 * grid[1])
    assert PixelEncoder(TINY)(images).shape == (2, 8, *grid)
    assert build_vision_tower(TINY)(images).shape == (2, grid[0] * grid[1], 32)


def test_the_semantic_decoder_sees_where_codes_are() -> None:
    decoder = SemanticDecoder(TINY).eval()
    decoded = decoder(torch.ones(1, 32, 2, 3))
    assert decoded.shape == (1, 6, TINY.teacher_width)
    assert len(decoded[0].detach().round(decimals=4).unique(dim=0)) == 6


def test_positions_of_a_rectangle_are_distinct_and_separable() -> None:
    positions = sincos_positions(3, 5, 16).reshape(3, 5, 16)
    assert len(positions.flatten(0, 1).unique(dim=0)) == 15
    assert torch.equal(positions[0, 2, 8:], positions[2, 2, 8:])
    assert torch.equal(positions[1, 0, :8], positions[1, 4, :8])


def test_the_semantic_loss_is_one_minus_cosine() -> None:
    teacher = torch.randn(2, 4, 8)
    assert semantic_loss(3 * teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    assert semantic_loss(-teacher, teacher).item() == pytest.approx(2, abs=1e-6)
