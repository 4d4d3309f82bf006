"""How documents become one packed sequence: who sees whom, where, and what each position predicts.

    [text] <boi> [block 2] ... [block K] <eoi> [text] ...

`<boi>` is the query for scale 1. Block s holds one input per code of scale s and predicts these codes
at the same positions, so nothing is shifted inside a block. Text is predicted one position ahead; the
last position of a document predicts the end token. An image of N tokens takes N + 1 positions; one that
is read and not predicted is laid out as `TransformerConfig.context_mode` says.

Shapes: T positions of a pack, I images of one schedule, N tokens of an image, M positions of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.transformer.config import ContextMode, TransformerConfig
from model.transformer.positions import Positions, grid_positions, text_positions

IGNORED = -100
"""Target of a position that predicts nothing."""
BLOCK_INPUT = -1
"""Token id of a position that is fed image features, not a token."""
PADDING = -1
"""Document number of padding."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TextPart:
    """Text of a document. Without `loss` it is read but not predicted."""

    ids: npt.NDArray[np.integer] | Sequence[int]
    loss: bool = True


@dataclass(frozen=True)
class ImagePart:
    """An image of a document: the codes the model is fed and the codes it predicts, coarse to fine."""

    schedule: ScaleSchedule
    inputs: npt.NDArray[np.integer]
    targets: npt.NDArray[np.integer]
    loss: bool = True

    def __post_init__(self) -> None:
        if not len(self.inputs) == len(self.targets) == self.schedule.tokens:
            raise ValueError(
                f"{len(self.inputs)} input and {len(self.targets)} target codes for schedule "
                f"{self.schedule.name} of {self.schedule.tokens}"
            )


Part = TextPart | ImagePart


@dataclass(frozen=True)
class ImageGroup:
    """Images of a pack that are fed alike: their input codes, and where `<boi>` to `<eoi>` lie."""

    schedule: ScaleSchedule
    mode: ContextMode
    inputs_IN: Tensor
    places_IM: Tensor

    def to(self, device: torch.device | str) -> ImageGroup:
        """The same group on another device."""
        return replace(self, inputs_IN=self.inputs_IN.to(device), places_IM=self.places_IM.to(device))


@dataclass(frozen=True)
class PackedBatch:
    """Documents side by side in one sequence. A position sees its own document up to its own step.

    `tokens_T` holds unified ids, and BLOCK_INPUT in blocks. `scale_T` is 1 at `<boi>`, s in block s and 0
    elsewhere. `targets_T` holds unified ids, IGNORED where nothing is predicted; there weights are 0.
    `spans` are the first and one-past-last position of every document.
    """

    tokens_T: Tensor
    document_T: Tensor
    step_T: Tensor
    positions_T3: Tensor
    scale_T: Tensor
    targets_T: Tensor
    weights_T: Tensor
    images: tuple[ImageGroup, ...]
    spans: tuple[tuple[int, int], ...]

    def to(self, device: torch.device | str) -> PackedBatch:
        """The same batch on another device."""
        tensors: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, images=tuple(g.to(device) for g in self.images), **tensors)


def allowed(document_T: Tensor, step_T: Tensor) -> Tensor:
    """The attention rule as a mask [query, key]: the same document, and a step not after one's own."""
    return (document_T[:, None] == document_T) & (step_T <= step_T[:, None])


def image_mode(part: ImagePart, context_mode: ContextMode) -> ContextMode:
    """How an image is fed: one that is predicted is always `shifted`."""
    return "shifted" if part.loss else context_mode


def step_lengths(part: Part, context_mode: ContextMode) -> list[int]:
    """Positions of each step of a part: those of one step see one another."""
    if isinstance(part, TextPart):
        return [1] * len(part.ids)
    mode, lengths = image_mode(part, context_mode), part.schedule.lengths
    if mode == "shifted":
        return [*lengths, 1]
    return [1, *(lengths if mode == "native" else lengths[-1:]), 1]


def position_count(parts: Sequence[Part], context_mode: ContextMode) -> int:
    """Positions a document takes in a packed sequence."""
    return sum(sum(step_lengths(part, context_mode)) for part in parts)


def duration(part: Part) -> int:
    """By how much a part moves the time of what follows: an image of K scales takes K + 2."""
    return len(part.ids) if isinstance(part, TextPart) else len(part.schedule.grids) + 2


def scale_weights(schedule: ScaleSchedule, alpha: float) -> npt.NDArray[np.float64]:
    """Loss weight of a code of each scale (eq. 2); those of a whole image sum to its number of codes."""
    sizes = np.array(schedule.lengths, np.float64)
    weights = sizes**-alpha
    scaled: npt.NDArray[np.float64] = weights * sizes.sum() / (sizes * weights).sum()
    return scaled


def pack(
    documents: Sequence[Sequence[Part]],
    config: TransformerConfig,
    length: int | None = None,
    alpha: float = 0.0,
) -> PackedBatch:
    """Lay documents side by side, padded to `length` positions where it is given.

    Args:
        alpha: exponent of the scale weights (eq. 2); 0 weighs all codes of an image alike.

    Raises:
        ValueError: the documents do not fit, or hold no position, or an id is outside its vocabulary.
    """
    rows = [
        _document(parts, config, alpha) for parts in documents if position_count(parts, config.context_mode)
    ]
    starts = np.cumsum([0, *(len(r.tokens) for r in rows)]).tolist()
    used = starts[-1]
    length = used if length is None else length
    if not 0 < used <= length:
        raise ValueError(f"documents of {used} positions in all do not make a pack of {length}")

    def padded(arrays: Sequence[npt.NDArray[Any]], fill: float) -> Tensor:
        values = np.concatenate(arrays)
        widths = [(0, length - used)] + [(0, 0)] * (values.ndim - 1)
        return torch.from_numpy(np.pad(values, widths, constant_values=fill))

    numbers = [np.full(len(r.tokens), n, np.int64) for n, r in enumerate(rows)]
    return PackedBatch(
        tokens_T=padded([r.tokens for r in rows], config.end_id),
        document_T=padded(numbers, PADDING),
        step_T=padded([r.step for r in rows], 0),
        positions_T3=padded([r.positions for r in rows], 0),
        scale_T=padded([r.scale for r in rows], 0),
        targets_T=padded([r.targets for r in rows], IGNORED),
        weights_T=padded([r.weights for r in rows], 0),
        images=_group_images([(start, r) for start, r in zip(starts, rows, strict=False)], config),
        spans=tuple(pairwise(starts)),
    )


@dataclass(frozen=True)
class _Row:
    """Parts laid out. `announced` is what the position before is to predict, if it is a text position.

    `images` are the image parts with the position of their `<boi>`.
    """

    tokens: Ids
    announced: Ids
    step: Ids
    positions: npt.NDArray[np.float32]
    scale: Ids
    targets: Ids
    weights: npt.NDArray[np.float32]
    images: tuple[tuple[int, ImagePart], ...] = ()


def _document(parts: Sequence[Part], config: TransformerConfig, alpha: float) -> _Row:
    """Lay out the parts one after the other, then let text look one position ahead."""
    rows: list[_Row] = []
    images: list[tuple[int, ImagePart]] = []
    at = step = time = 0
    for part in parts:
        if isinstance(part, TextPart):
            row = _text_row(part, config, step, time)
        else:
            row = _image_row(part, config, step, time, alpha)
            images.append((at, part))
        rows.append(row)
        at, step = at + len(row.tokens), step + len(step_lengths(part, config.context_mode))
        time += duration(part)
    names = ("tokens", "announced", "step", "positions", "scale", "targets", "weights")
    joined = _Row(**{n: np.concatenate([getattr(r, n) for r in rows]) for n in names}, images=tuple(images))
    end = config.end_id if parts[-1].loss else IGNORED
    ahead = np.append(joined.announced[1:], end)
    targets = np.where(joined.scale > 0, joined.targets, ahead)
    weights = np.where(targets != IGNORED, joined.weights, 0).astype(np.float32)
    return replace(joined, targets=targets, weights=weights)


def _text_row(part: TextPart, config: TransformerConfig, step: int, time: int) -> _Row:
    ids = np.asarray(part.ids, np.int64)
    _require_below(ids, config.text_vocabulary, "text id")
    none = np.zeros(len(ids), np.int64)
    return _Row(
        tokens=ids,
        announced=ids if part.loss else none + IGNORED,
        step=step + np.arange(len(ids)),
        positions=text_positions(time, len(ids)),
        scale=none,
        targets=none + IGNORED,
        weights=np.ones(len(ids), np.float32),
    )


def _image_row(part: ImagePart, config: TransformerConfig, step: int, time: int, alpha: float) -> _Row:
    """`<boi>`, the blocks of an image, `<eoi>`."""
    grids = part.schedule.grids
    if len(grids) > config.max_scales:
        raise ValueError(f"schedule {part.schedule.name} has {len(grids)} scales, over {config.max_scales}")
    targets = np.asarray(part.targets, np.int64)
    _require_below(targets, config.codebook_size, "target code")
    _require_below(np.asarray(part.inputs), config.codebook_size, "input code")
    lengths = step_lengths(part, config.context_mode)
    count = sum(lengths)
    tokens = np.full(count, BLOCK_INPUT, np.int64)
    tokens[0], tokens[-1] = config.boi, config.eoi
    none = np.zeros(count, np.int64)
    announced = none + IGNORED
    announced[0] = config.boi if part.loss else IGNORED
    scale, predicted, weights = none, none + IGNORED, np.zeros(count, np.float32)
    if part.loss:
        scale = np.append(np.repeat(np.arange(1, len(grids) + 1), part.schedule.lengths), 0)
        predicted = np.append(targets + config.text_vocabulary, IGNORED)
        weights = np.append(np.repeat(scale_weights(part.schedule, alpha), part.schedule.lengths), 1.0)
    return _Row(
        tokens=tokens,
        announced=announced,
        step=step + np.repeat(np.arange(len(lengths)), lengths),
        positions=_image_positions(part, config, time),
        scale=scale,
        targets=predicted,
        weights=weights.astype(np.float32),
    )


def _image_positions(part: ImagePart, config: TransformerConfig, time: int) -> Positions:
    """`<boi>` and `<eoi>` are placed as text; blocks by their grids."""
    grids, mode = part.schedule.grids, image_mode(part, config.context_mode)
    first = {"shifted": 2, "native": 1, "final": len(grids)}[mode]
    blocks = [
        grid_positions(*grid, scale, time, config) for scale, grid in enumerate(grids, 1) if scale >= first
    ]
    return np.concatenate([text_positions(time, 1), *blocks, text_positions(time + len(grids) + 1, 1)])


def _require_below(ids: npt.NDArray[np.integer], bound: int, what: str) -> None:
    if len(ids) and not 0 <= ids.min() <= ids.max() < bound:
        raise ValueError(f"{what}s from {ids.min()} to {ids.max()} do not fit a vocabulary of {bound}")


def _group_images(rows: list[tuple[int, _Row]], config: TransformerConfig) -> tuple[ImageGroup, ...]:
    """The images of a pack that are fed alike, in the order of their kinds' first appearance."""
    found: dict[tuple[ScaleSchedule, ContextMode], list[tuple[int, ImagePart]]] = {}
    for start, row in rows:
        for at, part in row.images:
            kind = (part.schedule, image_mode(part, config.context_mode))
            found.setdefault(kind, []).append((start + at, part))
    return tuple(
        ImageGroup(
            schedule,
            mode,
            torch.from_numpy(np.stack([np.asarray(p.inputs, np.int64) for _, p in images])),
            torch.tensor([at for at, _ in images])[:, None]
            + torch.arange(sum(step_lengths(images[0][1], config.context_mode))),
        )
        for (schedule, mode), images in found.items()
    )
