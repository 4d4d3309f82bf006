"""The residual quantiser written out with loops in float64, to check the real one against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from model.scales import Grid


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def nearest_code(
    vector_C: Tensor, codebook_VC: Tensor, split: int, weight: float, unit_codes: bool = True
) -> int:
    """Index of the row with the least `d_semantic + weight * d_pixel`."""
    semantic, pixel = vector_C[:split], vector_C[split:]
    if unit_codes:
        semantic, pixel = unit(semantic), unit(pixel)
    to_semantic = torch.cdist(semantic[None], codebook_VC[:, :split])[0] ** 2
    to_pixel = torch.cdist(pixel[None], codebook_VC[:, split:])[0] ** 2
    return int((to_semantic + weight * to_pixel).argmin())


def quantise(
    features_Chw: Tensor,
    grids: tuple[Grid, ...],
    codebook_VC: Tensor,
    split: int,
    weight: float,
    inputs_N: Tensor | None = None,
    unit_codes: bool = True,
) -> list[int]:
    """Nearest codes of one feature map; `inputs_N`, where given, are subtracted in their place."""
    codebook_VC, residual = codebook_VC.double(), features_Chw.double()
    indices: list[int] = []
    for height, width in grids:
        small = interpolate(residual[None], size=(height, width), mode="area")[0]
        subtracted = torch.zeros_like(small)
        for row in range(height):
            for column in range(width):
                nearest = nearest_code(small[:, row, column], codebook_VC, split, weight, unit_codes)
                used = nearest if inputs_N is None else int(inputs_N[len(indices)])
                indices.append(nearest)
                subtracted[:, row, column] = codebook_VC[used]
        residual = residual - interpolate(subtracted[None], size=grids[-1], mode="bicubic")[0]
    return indices
