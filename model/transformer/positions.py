"""Multi-scale 3D rotary position embedding (paper 2.2, eq. 1).

A position has three coordinates: scale, row, column. Text lies on the diagonal (t, t, t), where the
embedding is ordinary RoPE, whatever the axes' share of the frequencies. A cell (i, j) of an H x W grid
lies at C/sqrt(HW) * (i + 0.5), C/sqrt(HW) * (j + 0.5), so that every grid spans the same range.

Shapes: T positions, F frequencies (half the width of a head), N cells of a grid.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.transformer.config import TransformerConfig

Positions = npt.NDArray[np.float32]


def text_positions(start: int, count: int) -> Positions:
    """Positions of `count` tokens from time `start`: [count, 3]."""
    return np.repeat(np.arange(start, start + count, dtype=np.float32)[:, None], 3, axis=1)


def grid_positions(height: int, width: int, scale: int, boi: int, config: TransformerConfig) -> Positions:
    """Positions of the cells of one scale, row by row: [height * width, 3].

    Args:
        scale: 1 for the coarsest.
        boi: time of the image's `<boi>`; without an offset the images of a document would collide.
    """
    cell = config.coordinate_range / np.sqrt(height * width)
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    in_scale = boi if config.position_offset != "none" else 0
    in_space = boi if config.position_offset == "all" else 0
    coordinates = (
        np.full(height * width, scale + in_scale),
        cell * (rows.ravel() + 0.5) + in_space,
        cell * (columns.ravel() + 0.5) + in_space,
    )
    return np.stack(coordinates, axis=1).astype(np.float32)


def frequency_axes(config: TransformerConfig) -> Tensor:
    """Axis (0 scale, 1 row, 2 column) that each of the F frequencies turns with."""
    count = config.head_width // 2
    if config.rope_axes == "interleaved":
        return torch.arange(count) % 3
    scale = count // 4
    row = (count - scale) // 2
    return torch.tensor([0] * scale + [1] * row + [2] * (count - scale - row))


def rotations(positions_T3: Tensor, config: TransformerConfig) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every angle, in fp32: two tensors [..., T, 2F]."""
    count = config.head_width // 2
    exponents_F = torch.arange(count, dtype=torch.float32, device=positions_T3.device) / count
    frequencies_F = 1.0 / config.rope_theta**exponents_F
    axes_F = frequency_axes(config).to(positions_T3.device)
    angles_TF = positions_T3.float()[..., axes_F] * frequencies_F
    angles = torch.cat([angles_TF, angles_TF], dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys [..., T, heads, 2F] by rotations [..., T, 2F]."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    return (x * cos + turned * sin).to(x.dtype)
