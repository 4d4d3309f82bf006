"""What images bring to the language model's input: embeddings of codes, scales and markers.

Shapes: I images, N tokens of an image, H x W cells of a grid, C width of a code's row, E hidden width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate

from model.scales import ScaleSchedule
from model.transformer.config import TransformerConfig


class VisualEmbedding(nn.Module):
    """Inputs at the positions of an image: `<boi>`, the blocks of scales 2 to K, `<eoi>`.

    The input of block s is connector(bicubic upsampling of the code rows of scale s - 1 to grid s).
    `<boi>` and the blocks also carry the embeddings of their scale and of the image's number of scales.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.accumulated = config.input_features == "accumulated"
        self.codebook = nn.Embedding(config.codebook_size, config.codebook_width)
        self.widen = nn.Linear(config.codebook_width, config.hidden)
        self.connect = nn.Linear(config.hidden, config.hidden)
        self.markers = nn.Embedding(2, config.hidden)
        self.scale = nn.Embedding(config.max_scales, config.hidden)
        self.scale_count = nn.Linear(config.hidden, config.hidden, bias=False)

    def reset_parameters(self) -> None:
        """Start from features of unit size, and without the number of scales."""
        nn.init.normal_(self.widen.weight, std=self.widen.in_features**-0.5)
        nn.init.zeros_(self.scale_count.weight)

    def forward(self, codes_IN: Tensor, schedule: ScaleSchedule) -> Tensor:
        """All inputs of images with these input codes: [I, N + 1, E]."""
        blocks = [self.block(codes_IN, schedule, s) for s in range(1, len(schedule.grids) + 1)]
        return torch.cat([*blocks, self._marker(1, codes_IN)], dim=1)

    def block(self, codes_IN: Tensor, schedule: ScaleSchedule, scale: int) -> Tensor:
        """Inputs of one block, of which 1 is `<boi>`: [I, H * W, E]. Codes of coarser scales suffice."""
        if scale == 1:
            inputs = self._marker(0, codes_IN)
        else:
            inputs = self.connect(gelu(self.widen(self._features(codes_IN, schedule, scale))))
        return inputs + self._labels(schedule, scale, inputs)

    def _marker(self, which: int, codes_IN: Tensor) -> Tensor:
        """`<boi>` (0) or `<eoi>` (1): [I, 1, E]."""
        embedded: Tensor = self.markers(codes_IN.new_full((len(codes_IN), 1), which))
        return embedded

    def _labels(self, schedule: ScaleSchedule, scale: int, like: Tensor) -> Tensor:
        """Embeddings of the scale and of the number of scales: [E]."""
        number = torch.tensor(scale - 1, device=like.device)
        count_E = sinusoid(len(schedule.grids), like.shape[-1]).to(like)
        labels: Tensor = self.scale(number) + self.scale_count(count_E)
        return labels

    def _features(self, codes_IN: Tensor, schedule: ScaleSchedule, scale: int) -> Tensor:
        """Code rows on the grid of `scale`, from the scale before or from all before: [I, H * W, C]."""
        grid = schedule.grids[scale - 1]
        if self.accumulated:
            last = schedule.grids[-1]
            rows = [_resample(self._rows(codes_IN, schedule, s), last) for s in range(1, scale)]
            features_ICHW = interpolate(torch.stack(rows).sum(0), grid, mode="area")
        else:
            features_ICHW = _resample(self._rows(codes_IN, schedule, scale - 1), grid)
        return features_ICHW.flatten(2).transpose(1, 2).to(self.codebook.weight.dtype)

    def _rows(self, codes_IN: Tensor, schedule: ScaleSchedule, scale: int) -> Tensor:
        """Code rows of one scale on its own grid: [I, C, H, W]."""
        start, grid = schedule.starts[scale - 1], schedule.grids[scale - 1]
        codes_IL = codes_IN[:, start : start + grid[0] * grid[1]]
        rows_ICL: Tensor = self.codebook(codes_IL).transpose(1, 2)
        return rows_ICL.reshape(len(codes_IN), -1, *grid)


def sinusoid(value: float, width: int) -> Tensor:
    """Sines and cosines of a number at frequencies from 1 to 1/10,000: [width]."""
    frequencies = 10_000.0 ** -(torch.arange((width + 1) // 2) * 2 / width)
    return torch.cat([(value * frequencies).sin(), (value * frequencies).cos()])[:width]


def _resample(features_ICHW: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bicubic, in fp32, as the tokenizer resamples."""
    return interpolate(features_ICHW.float(), grid, mode="bicubic", align_corners=False)
