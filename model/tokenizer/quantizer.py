"""Multi-scale residual quantisation with one index for a semantic and a pixel code (paper 2.1, TokenFlow).

At each grid, coarse to fine, the residual is averaged down to the grid, each half of it is normalised to
length one, and the nearest row of the codebook (its halves of length one, too) is looked up. The row's
bicubic enlargement is what the scale explains; it is subtracted before the next scale. Without
`unit_codes` nothing is normalised, as in VAR: rows have lengths of their own, and one near zero says that
nothing is left to explain. All of it runs in full float32: a rounded distance would choose other codes.

Shapes: B batch, C codebook width (semantic + pixel), h w cells of the finest grid, n cells of one grid,
N cells of all grids together, V codebook rows, S semantic width, P pixel width, M any number of vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.scales import Grid
from model.tokenizer.config import TokenizerConfig

Choose = Callable[[int, Tensor], Tensor]
"""(place in the list of grids, distances [B, n, V]) -> the indices [B, n] that enter the residual."""


@dataclass(frozen=True)
class Quantized:
    """What a pyramid of grids made of a feature map; lists run over the grids.

    `features` [B, C, h, w] is the sum of what all scales explain; gradients pass straight through it to
    the encoder. `vectors` [B, n, C] are the residuals as they are looked up, `codes` [B, n, C] their rows
    of the codebook, `nearest` and `chosen` [B, n] the indices of the nearest rows and of those subtracted.
    """

    features: Tensor
    vectors: list[Tensor]
    codes: list[Tensor]
    nearest: list[Tensor]
    chosen: list[Tensor]


class SharedQuantizer(nn.Module):
    """The two codebooks, [V, S] and [V, P], that share their indices."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.widths = [config.semantic_width, config.pixel_width]
        self.pixel_distance_weight = config.pixel_distance_weight
        self.unit_codes = config.unit_codes
        self.semantic_VS = nn.Parameter(unit(torch.randn(config.codebook_size, config.semantic_width)))
        self.pixel_VP = nn.Parameter(unit(torch.randn(config.codebook_size, config.pixel_width)))

    def codebook(self) -> Tensor:
        """Rows [V, C]: [semantic | pixel], each half of length one with `unit_codes`."""
        return self.prepare(torch.cat([self.semantic_VS.float(), self.pixel_VP.float()], dim=1))

    @torch.no_grad()
    def set_rows(self, rows_M: Tensor, vectors_MC: Tensor) -> None:
        """Moves these rows of the codebooks to these vectors."""
        semantic_MS, pixel_MP = torch.split(self.prepare(vectors_MC), self.widths, dim=-1)
        self.semantic_VS[rows_M] = semantic_MS.to(self.semantic_VS)
        self.pixel_VP[rows_M] = pixel_MP.to(self.pixel_VP)

    def prepare(self, vectors: Tensor) -> Tensor:
        """Vectors [..., C] as they are compared: with `unit_codes`, both halves of length one."""
        if not self.unit_codes:
            return vectors
        return torch.cat([unit(half) for half in torch.split(vectors, self.widths, dim=-1)], dim=-1)

    def distances(self, vectors_BnC: Tensor, codebook_VC: Tensor) -> Tensor:
        """`d_semantic + w * d_pixel`, squared distances [B, n, V] of vectors to the rows."""
        semantic_V, pixel_V = torch.split(codebook_VC, self.widths, dim=1)
        semantic_Bn, pixel_Bn = torch.split(vectors_BnC, self.widths, dim=-1)
        semantic_BnV = squared_distances(semantic_Bn, semantic_V)
        return semantic_BnV + self.pixel_distance_weight * squared_distances(pixel_Bn, pixel_V)

    def forward(
        self, features_BChw: Tensor, grids: Sequence[Grid], choose: Choose | None = None
    ) -> Quantized:
        """Quantises a feature map on each grid in turn; `choose` defaults to the nearest row.

        The last grid must be the feature map's own.
        """
        with full_float32(features_BChw.device):
            return self._quantise(features_BChw.float(), grids, choose)

    def _quantise(self, residual_BChw: Tensor, grids: Sequence[Grid], choose: Choose | None) -> Quantized:
        codebook_VC = self.codebook()
        result = Quantized(torch.zeros_like(residual_BChw), [], [], [], [])
        for place, grid in enumerate(grids):
            vectors_BnC = self.prepare(shrink(residual_BChw, grid))
            distances_BnV = self.distances(vectors_BnC.detach(), codebook_VC.detach())
            nearest_Bn = distances_BnV.argmin(dim=-1)
            chosen_Bn = choose(place, distances_BnV) if choose else nearest_Bn
            codes_BnC = functional.embedding(chosen_Bn, codebook_VC)
            straight_BnC = vectors_BnC + (codes_BnC - vectors_BnC).detach()
            explained_BChw = enlarge(straight_BnC, grid, grids[-1])
            residual_BChw = residual_BChw - explained_BChw.detach()
            result = Quantized(
                result.features + explained_BChw,
                [*result.vectors, vectors_BnC],
                [*result.codes, codes_BnC],
                [*result.nearest, nearest_Bn],
                [*result.chosen, chosen_Bn],
            )
        return result

    def features(self, indices_BN: Tensor, grids: Sequence[Grid]) -> Tensor:
        """The feature map [B, C, h, w] that indices on these grids stand for."""
        with full_float32(indices_BN.device):
            codebook_VC = self.codebook()
            scales = torch.split(indices_BN, [height * width for height, width in grids], dim=1)
            enlarged = [
                enlarge(codebook_VC[indices_Bn], grid, grids[-1])
                for indices_Bn, grid in zip(scales, grids, strict=True)
            ]
            return torch.stack(enlarged).sum(dim=0)


def squared_distances(vectors_BnC: Tensor, rows_VC: Tensor) -> Tensor:
    """Squared Euclidean distances [B, n, V]."""
    products_BnV: Tensor = vectors_BnC @ rows_VC.T
    return vectors_BnC.square().sum(dim=-1, keepdim=True) + rows_VC.square().sum(dim=-1) - 2 * products_BnV


def unit(vectors: Tensor) -> Tensor:
    """Vectors [..., C] scaled to length one."""
    return functional.normalize(vectors, dim=-1)


def shrink(features_BChw: Tensor, grid: Grid) -> Tensor:
    """Averages a feature map over the cells of a coarser grid: [B, n, C]."""
    return functional.interpolate(features_BChw, size=grid, mode="area").flatten(2).transpose(1, 2)


def enlarge(vectors_BnC: Tensor, grid: Grid, size: Grid) -> Tensor:
    """Bicubic enlargement of a grid's vectors to a feature map [B, C, h, w]."""
    coarse_BChw = vectors_BnC.transpose(1, 2).reshape(len(vectors_BnC), -1, *grid)
    return functional.interpolate(coarse_BChw, size=size, mode="bicubic", align_corners=False)


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Switches autocast and reduced-precision float32 matrix products (TF32) off."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
