"""What images bring to the language model's input: embeddings of codes, scales and markers.

Shapes: I images of one schedule, N tokens of an image, M positions of it, P positions of several images, L
labels, H x W cells of a grid, C width of a code's row, E hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate

from model.scales import ScaleSchedule
from model.transformer.config import TransformerConfig
from model.transformer.layout import ImageGroup

Blocks = dict[int, Tensor]
"""What images show, by the scale that labels it: features of a grid's cells, image after image, [P, C]."""


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

    def forward(self, images: Sequence[ImageGroup]) -> Tensor:
        """Inputs at all positions of a pack's images, group after group: [P, E].

        Every layer is called once, whatever the images are, also where there are none: processes that train
        together on different packs must ask for weights and hand over gradients in the same order.
        """
        none = torch.empty(0, dtype=torch.int64, device=self.markers.weight.device)
        *rows, no_rows = _in_one_call(self.codebook, [*(group.inputs_IN.flatten() for group in images), none])
        blocks = [self._blocks(group, rows_PC) for group, rows_PC in zip(images, rows, strict=True)]
        cells = [cells_PC for found in blocks for cells_PC in found.values()]
        *shown, nothing = _in_one_call(self._connect, [*cells, no_rows])
        labels_LE = self._labels(
            [(s, len(g.schedule.grids)) for g, found in zip(images, blocks, strict=True) for s in (1, *found)]
        )
        markers_2E = self.markers(torch.arange(2, device=none.device))
        inputs = _lay_out(images, [len(found) for found in blocks], shown, labels_LE, markers_2E)
        return torch.cat([*inputs, nothing + labels_LE[:0] + markers_2E[:0]])

    def _blocks(self, group: ImageGroup, rows_PC: Tensor) -> Blocks:
        """What the images of a group show; theirs are the rows of all codes."""
        rows_INC = rows_PC.reshape(*group.inputs_IN.shape, -1)
        schedule, last = group.schedule, len(group.schedule.grids)
        if group.mode == "final":
            return {last: _cells(self._sum(rows_INC, schedule, last)).flatten(0, 1)}
        behind = 1 if group.mode == "shifted" else 0
        return {
            scale: _cells(self._features(rows_INC, schedule, scale - behind, scale)).flatten(0, 1)
            for scale in range(1 + behind, last + 1)
        }

    def block(self, codes_IN: Tensor, schedule: ScaleSchedule, scale: int) -> Tensor:
        """Inputs that ask for the codes of a scale, of which 1 is `<boi>`: [I, H * W, E].

        Codes of coarser scales suffice.
        """
        label_1E = self._labels([(scale, len(schedule.grids))])
        if scale == 1:
            return self._marker(0, codes_IN) + label_1E
        features_ICHW = self._features(self.codebook(codes_IN), schedule, scale - 1, scale)
        return self._connect(_cells(features_ICHW)) + label_1E

    def eoi(self, codes_IN: Tensor) -> Tensor:
        """`<eoi>` after images: [I, 1, E]."""
        return self._marker(1, codes_IN)

    def _connect(self, features: Tensor) -> Tensor:
        """Features [..., C] to inputs [..., E]."""
        inputs: Tensor = self.connect(gelu(self.widen(features.to(self.codebook.weight.dtype))))
        return inputs

    def _marker(self, which: int, codes_IN: Tensor) -> Tensor:
        """`<boi>` (0) or `<eoi>` (1): [I, 1, E]."""
        embedded: Tensor = self.markers(codes_IN.new_full((len(codes_IN), 1), which))
        return embedded

    def _labels(self, labels: Sequence[tuple[int, int]]) -> Tensor:
        """Embeddings of scales and of their images' numbers of scales: [L, E]."""
        weight = self.scale.weight
        scales_L = torch.tensor([scale - 1 for scale, _ in labels], dtype=torch.int64, device=weight.device)
        counts = [sinusoid(count, self.scale.embedding_dim) for _, count in labels]
        counts_LE = torch.stack(counts) if counts else torch.empty(0, self.scale.embedding_dim)
        embedded: Tensor = self.scale(scales_L) + self.scale_count(counts_LE.to(weight))
        return embedded

    def _features(self, rows_INC: Tensor, schedule: ScaleSchedule, last: int, scale: int) -> Tensor:
        """Code rows of scale `last`, or the sum up to it, on the grid of `scale`: [I, C, H, W]."""
        grid = schedule.grids[scale - 1]
        if self.accumulated:
            return interpolate(self._sum(rows_INC, schedule, last), grid, mode="area")
        return _resample(_on_grid(rows_INC, schedule, last), grid)

    def _sum(self, rows_INC: Tensor, schedule: ScaleSchedule, last: int) -> Tensor:
        """The sum of the code rows of scales 1 to `last` on the last grid: [I, C, H, W]."""
        grid = schedule.grids[-1]
        rows = [_resample(_on_grid(rows_INC, schedule, s), grid) for s in range(1, last + 1)]
        return torch.stack(rows).sum(0)


def _in_one_call(layer: Callable[[Tensor], Tensor], pieces: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """A layer of each piece."""
    return torch.split(layer(torch.cat(list(pieces))), [len(piece) for piece in pieces])


def _lay_out(
    images: Sequence[ImageGroup],
    counts: Sequence[int],
    shown: Sequence[Tensor],
    labels_LE: Tensor,
    markers_2E: Tensor,
) -> list[Tensor]:
    """The inputs of every group, in the order of positions: `<boi>`, as many blocks as it has, `<eoi>`."""
    block, label = iter(shown), iter(labels_LE)
    inputs = []
    for group, count in zip(images, counts, strict=True):
        each = (len(group.inputs_IN), -1, markers_2E.shape[1])
        boi = (markers_2E[:1] + next(label)).expand(each[0], 1, -1)
        blocks = [next(block).reshape(each) + next(label) for _ in range(count)]
        eoi = markers_2E[1:].expand(each[0], 1, -1)
        inputs.append(torch.cat([boi, *blocks, eoi], dim=1).flatten(0, 1))
    return inputs


def _on_grid(rows_INC: Tensor, schedule: ScaleSchedule, scale: int) -> Tensor:
    """Code rows of one scale on its own grid: [I, C, H, W]."""
    start, grid = schedule.starts[scale - 1], schedule.grids[scale - 1]
    rows_IMC = rows_INC[:, start : start + grid[0] * grid[1]]
    return rows_IMC.transpose(1, 2).reshape(len(rows_INC), -1, *grid)


def _cells(features_ICHW: Tensor) -> Tensor:
    """The cells of a grid one after the other: [I, H * W, C]."""
    return features_ICHW.flatten(2).transpose(1, 2)


def sinusoid(value: float, width: int) -> Tensor:
    """Sines and cosines of a number at frequencies from 1 to 1/10,000: [width]."""
    frequencies = 10_000.0 ** -(torch.arange((width + 1) // 2) * 2 / width)
    return torch.cat([(value * frequencies).sin(), (value * frequencies).cos()])[:width]


def _resample(features_ICHW: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bicubic, in fp32, as the tokenizer resamples."""
    return interpolate(features_ICHW.float(), grid, mode="bicubic", align_corners=False)
