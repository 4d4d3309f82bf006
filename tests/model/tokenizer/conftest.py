"""A small tokenizer and images for the tests."""

from __future__ import annotations

import pytest
import torch
from tokenizer_images import random_images
from torch import Tensor

from model.scales import ScaleSchedule, square
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.tokenizer.codebook import initialize_codebook


@pytest.fixture
def schedule() -> ScaleSchedule:
    """Grids 1, 2, 3, 4 of cells of 16 pixels."""
    return square([1, 2, 3, 4], cell=16)


@pytest.fixture
def images(schedule: ScaleSchedule) -> Tensor:
    """Eight images of the schedule's size."""
    return random_images(schedule, 8, seed=1)


@pytest.fixture
def tokenizer(images: Tensor, schedule: ScaleSchedule) -> ImageTokenizer:
    """The tiny preset with its codebook fitted to the images, ready to encode."""
    tokenizer = ImageTokenizer(TokenizerConfig.preset("tiny"))
    initialize_codebook(tokenizer, images, schedule, torch.Generator().manual_seed(0))
    return tokenizer.eval()
