"""What images bring to the language model's input: embeddings of codes, scales and markers.

Shapes: I images, N tokens of an image, M positions of it, H x W cells of a grid,
C width of a code's row, E hidden width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate

from model.scales import ScaleSchedule
from model.transformer.config import ContextMode, TransformerConfig


class VisualEmbedding(nn.Module):
    """Inputs at the positions of an image: `<boi>`, its blocks, `<eoi>`.

    The input of block s of an image that is predicted is connector(bicubic upsampling of the code rows of
    scale s - 1 to grid s). An image that is only read may show each scale's own codes, or the sum of all on
    the last grid. `<boi>` and the blocks also carry the embeddings of their scale and of the image's number
    of scales.
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

    def forward(self, codes_IN: Tensor, schedule: ScaleSchedule, mode: ContextMode = "shifted") -> Tensor:
        """All inputs of images with these input codes: [I, M, E]."""
        scales = len(schedule.grids)
        first = self.block(codes_IN, schedule, 1)
        if mode == "shifted":
            blocks = [self.block(codes_IN, schedule, s) for s in range(2, scales + 1)]
        elif mode == "native":
            blocks = [self._own_block(codes_IN, schedule, s) for s in range(1, scales + 1)]
        else:
            whole = self._sum(codes_IN, schedule, scales)
            blocks = [self._connect(whole, schedule, scales)]
        return torch.cat([first, *blocks, self.eoi(codes_IN)], dim=1)

    def block(self, codes_IN: Tensor, schedule: ScaleSchedule, scale: int) -> Tensor:
        """Inputs that ask for the codes of a scale, of which 1 is `<boi>`: [I, H * W, E].

        Codes of coarser scales suffice.
        """
        if scale == 1:
            inputs = self._marker(0, codes_IN)
            return inputs + self._labels(schedule, scale, inputs)
        return self._connect(self._features(codes_IN, schedule, scale - 1, scale), schedule, scale)

    def eoi(self, codes_IN: Tensor) -> Tensor:
        """`<eoi>` after images: [I, 1, E]."""
        return self._marker(1, codes_IN)

    def _own_block(self, codes_IN: Tensor, schedule: ScaleSchedule, scale: int) -> Tensor:
        """Inputs that show the codes of a scale: [I, H * W, E]."""
        return self._connect(self._features(codes_IN, schedule, scale, scale), schedule, scale)

    def _connect(self, features_ICHW: Tensor, schedule: ScaleSchedule, scale: int) -> Tensor:
        """Features on the grid of a scale to inputs: [I, H * W, E]."""
        features_INC = features_ICHW.flatten(2).transpose(1, 2).to(self.codebook.weight.dtype)
        inputs_INE: Tensor = self.connect(gelu(self.widen(features_INC)))
        return inputs_INE + self._labels(schedule, scale, inputs_INE)

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

    def _features(self, codes_IN: Tensor, schedule: ScaleSchedule, last: int, scale: int) -> Tensor:
        """Code rows of scale `last`, or the sum up to it, on the grid of `scale`: [I, C, H, W]."""
        grid = schedule.grids[scale - 1]
        if self.accumulated:
            return interpolate(self._sum(codes_IN, schedule, last), grid, mode="area")
        return _resample(self._rows(codes_IN, schedule, last), grid)

    def _sum(self, codes_IN: Tensor, schedule: ScaleSchedule, last: int) -> Tensor:
        """The sum of the code rows of scales 1 to `last` on the last grid: [I, C, H, W]."""
        grid = schedule.grids[-1]
        rows = [_resample(self._rows(codes_IN, schedule, s), grid) for s in range(1, last + 1)]
        return torch.stack(rows).sum(0)

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
