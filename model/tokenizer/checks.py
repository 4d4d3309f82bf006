"""Arguments that do not fit are refused before they become wrong tokens; messages name the shape.

Shapes: B batch, H W pixels, N tokens of an image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.tokenizer.config import TokenizerConfig


def check_schedule(schedule: ScaleSchedule, config: TokenizerConfig) -> None:
    """Raises ValueError unless a cell of the schedule is the tokenizer's stride."""
    if schedule.cell != config.stride:
        raise ValueError(
            f"schedule {schedule.name} has cells of {schedule.cell} pixels, "
            f"the tokenizer has a stride of {config.stride}"
        )


def check_images(images_BCHW: Tensor, schedule: ScaleSchedule) -> None:
    """Raises ValueError unless images are finite floats [B, 3, H, W] of the schedule's height and width."""
    shape = tuple(images_BCHW.shape)
    if len(shape) != 4 or shape[0] < 1 or shape[1] != 3 or not images_BCHW.is_floating_point():
        raise ValueError(f"images are floats [batch, 3, height, width], got {shape} of {images_BCHW.dtype}")
    if shape[2:] != (schedule.height, schedule.width):
        raise ValueError(
            f"images {shape} do not fit schedule {schedule.name}: "
            f"{schedule.height}x{schedule.width} pixels, multiples of the stride {schedule.cell}"
        )
    if not torch.isfinite(images_BCHW).all():
        raise ValueError(f"images {shape} hold values that are not finite")


def check_indices(indices_BN: Tensor, schedule: ScaleSchedule, config: TokenizerConfig) -> None:
    """Raises ValueError unless indices are int64 [B, N] of the schedule, each a row of the codebook."""
    shape = tuple(indices_BN.shape)
    if len(shape) != 2 or shape[0] < 1 or shape[1] != schedule.tokens or indices_BN.dtype != torch.int64:
        raise ValueError(
            f"indices of schedule {schedule.name} are int64 [batch, {schedule.tokens}], "
            f"got {shape} of {indices_BN.dtype}"
        )
    if indices_BN.min() < 0 or indices_BN.max() >= config.codebook_size:
        raise ValueError(f"indices {shape} point outside the codebook of {config.codebook_size} rows")
