"""Scale schedules: the grids, coarse to fine, on which an image is quantised and predicted.

The paper's Table 14 holds 41 rows of 18 grids. All its entries follow one rule, so the code holds the 41
final grids and the rule: `grid_k = round_half_even(final * n_k / 64)`, with the first grid always 1x1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

Grid = tuple[int, int]

TABLE_14_STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)
"""Side of the square grid at each of the 18 scales (n_k of the rule)."""

TABLE_14_FINAL_GRIDS: tuple[Grid, ...] = (
    (32, 128), (32, 124), (32, 120), (32, 116), (36, 112), (36, 104), (36, 108), (40, 100), (40, 96),
    (44, 92), (44, 88), (44, 84), (48, 84), (48, 80), (52, 76), (52, 72), (56, 72), (56, 68),
    (60, 68), (60, 64), (64, 64), (64, 60), (68, 60), (68, 56), (72, 56), (72, 52), (76, 52),
    (80, 48), (84, 48), (84, 44), (88, 44), (92, 44), (96, 40), (100, 40), (104, 36), (108, 36),
    (112, 36), (116, 32), (120, 32), (124, 32), (128, 32),
)  # fmt: skip
"""(rows, columns) of scale 18 of each row of Table 14, in the order of the table."""


@dataclass(frozen=True)
class ScaleSchedule:
    """Grids of (rows, columns), coarse to fine; one cell of the last is `cell` x `cell` pixels.

    `margin` is the pixels of both sides that lie beyond the last whole cell: SigLIP's 384 = 27 x 14 + 6.

    Raises:
        ValueError: no grids, a first grid other than 1x1, or a side that shrinks from one grid to the next.
    """

    name: str
    grids: tuple[Grid, ...]
    cell: int = 16
    margin: int = 0

    def __post_init__(self) -> None:
        if not self.grids or self.grids[0] != (1, 1) or not 0 <= self.margin < self.cell:
            raise ValueError(f"schedule {self.name!r}: grids start with 1x1 and cells have pixels")
        for (height, width), (next_height, next_width) in pairwise(self.grids):
            if next_height < height or next_width < width:
                raise ValueError(f"schedule {self.name!r}: grids grow from coarse to fine, got {self.grids}")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each scale."""
        return tuple(height * width for height, width in self.grids)

    @property
    def starts(self) -> tuple[int, ...]:
        """Index of the first token of each scale in the image's token sequence."""
        return tuple(sum(self.lengths[:scale]) for scale in range(len(self.grids)))

    @property
    def tokens(self) -> int:
        """Tokens of an image, all scales together."""
        return sum(self.lengths)

    @property
    def height(self) -> int:
        """Pixels."""
        return self.grids[-1][0] * self.cell + self.margin

    @property
    def width(self) -> int:
        """Pixels."""
        return self.grids[-1][1] * self.cell + self.margin


def _grid(final: Grid, step: int) -> Grid:
    """One entry of Table 14; Python's `round` of an exact fraction is round-half-even."""
    if step == 1:
        return (1, 1)
    last = TABLE_14_STEPS[-1]
    return (round(Fraction(final[0] * step, last)), round(Fraction(final[1] * step, last)))


def table14(scales: int, cell: int = 16) -> tuple[ScaleSchedule, ...]:
    """The first `scales` scales of the rows of Table 14 (12: 256-level, 16: 512, 18: 1024).

    Schedules are named after the grid they end at. From 12 scales on there are 41; with fewer, rows that
    end at the same grid count once, so that names stay unique.
    """
    if not 1 <= scales <= len(TABLE_14_STEPS):
        raise ValueError(f"Table 14 has 1 to {len(TABLE_14_STEPS)} scales, not {scales}")
    by_last: dict[Grid, ScaleSchedule] = {}
    for final in TABLE_14_FINAL_GRIDS:
        grids = tuple(_grid(final, step) for step in TABLE_14_STEPS[:scales])
        height, width = grids[-1]
        name = f"table14-{scales}/{height}x{width}"
        by_last.setdefault(grids[-1], ScaleSchedule(name, grids, cell))
    return tuple(by_last.values())


def square(sides: Sequence[int], cell: int, margin: int = 0) -> ScaleSchedule:
    """A schedule of square grids with these sides, coarse to fine, such as 1, 2, 3, 4, 6, 8."""
    if not sides:
        raise ValueError("a schedule needs at least one grid side")
    grids = tuple((side, side) for side in sides)
    return ScaleSchedule(f"square-{cell}/{sides[-1]}x{sides[-1]}", grids, cell, margin)


def tokenflow(pixels: Literal[224, 256, 384]) -> ScaleSchedule:
    """TokenFlow's schedules: of its CLIP ViT-B/16 file (224, 256) and of its SigLIP file (384)."""
    if pixels == 384:
        return square((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 22, 27), cell=14, margin=6)
    return square((1, 2, 4, 6, 8, 10, 12, 14, 16)[: pixels // 16 // 2 + 1], cell=16)


def level_schedules(
    schedule: Literal["table14"] | Sequence[int], scales: int | None, cell: int, margin: int = 0
) -> tuple[ScaleSchedule, ...]:
    """The schedules of a recipe's level: rows of Table 14, or one of square grids."""
    if isinstance(schedule, str):
        if schedule != "table14" or scales is None:
            raise ValueError(
                f"a level is table14 with its scales, or a list of sides; got {schedule!r}, {scales}"
            )
        return table14(scales, cell)
    return (square(schedule, cell, margin),)


def nearest(schedules: Sequence[ScaleSchedule], width: int, height: int) -> ScaleSchedule:
    """The schedule whose last grid's own aspect ratio is nearest to the picture's, in log ratio.

    The paper's printed ratios and resolutions are nominal; five of them disagree with their grids.
    """
    if not schedules or width < 1 or height < 1:
        raise ValueError(f"no schedule for a picture of {width}x{height} among {len(schedules)}")
    wanted = math.log(width / height)
    return min(schedules, key=lambda schedule: abs(math.log(schedule.width / schedule.height) - wanted))
