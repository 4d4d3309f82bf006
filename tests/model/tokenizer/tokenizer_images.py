"""Images for the tokenizer's tests."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from model.scales import ScaleSchedule


def random_images(schedule: ScaleSchedule, count: int, seed: int) -> Tensor:
    """Smooth random images [count, 3, H, W] in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 2 - 1
    size = (schedule.height, schedule.width)
    return interpolate(coarse, size=size, mode="bilinear")
