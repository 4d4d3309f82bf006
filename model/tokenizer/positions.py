"""Positions of the cells of a rectangular grid: fixed ones, and learned tables enlarged to it.

Shapes: N cells of a grid row by row, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def sincos_positions(rows: int, columns: int, width: int) -> Tensor:
    """Fixed positions [rows * columns, width] of a rectangular grid: half the channels for each axis."""
    frequencies = 10000.0 ** -(torch.arange(width // 4) / (width // 4))
    row_RF = torch.arange(rows)[:, None] * frequencies
    column_CF = torch.arange(columns)[:, None] * frequencies
    row_RD = torch.cat([row_RF.sin(), row_RF.cos()], dim=1)[:, None].expand(-1, columns, -1)
    column_CD = torch.cat([column_CF.sin(), column_CF.cos()], dim=1)[None].expand(rows, -1, -1)
    return torch.cat([row_RD, column_CD], dim=2).flatten(0, 1)


def learned_positions(table_ND: Tensor, rows: int, columns: int) -> Tensor:
    """A learned table of a square grid, enlarged bicubically to [rows * columns, D].

    As DINO, and TokenFlow after it, do: by the factor (rows + 0.1) / side and not to the size, which
    samples other places.
    """
    side = math.isqrt(len(table_ND))
    if (rows, columns) == (side, side):
        return table_ND
    square_1Dss = table_ND.T.reshape(1, -1, side, side)
    factors = ((rows + 0.1) / side, (columns + 0.1) / side)
    enlarged_1Drc = functional.interpolate(square_1Dss, scale_factor=factors, mode="bicubic")
    assert enlarged_1Drc.shape[-2:] == (rows, columns)
    return enlarged_1Drc.flatten(2)[0].T
