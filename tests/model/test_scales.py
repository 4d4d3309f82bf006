"""Scale schedules against the paper's printed Table 14, and the choice among them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.scales import TABLE_14_FINAL_GRIDS, Grid, ScaleSchedule, level_schedules, nearest, square, table14


def printed_rows() -> list[tuple[Grid, ...]]:
    """The grids of each row of the table as the paper prints it."""
    text = (Path(__file__).parent / "table14.txt").read_text(encoding="utf-8")
    return [
        tuple((int(h), int(w)) for h, w in re.findall(r"\((\d+),(\d+)\)", line)) for line in text.splitlines()
    ]


def test_the_rule_gives_the_whole_printed_table() -> None:
    rows = printed_rows()
    assert len(rows) == 41
    assert [schedule.grids for schedule in table14(18)] == rows


def test_another_rounding_would_not_give_the_table() -> None:
    half_up = [math.floor(final[0] * 5 / 64 + 0.5) for final in TABLE_14_FINAL_GRIDS]
    assert half_up != [row[4][0] for row in printed_rows()]


def test_every_row_has_its_transpose() -> None:
    rows = {schedule.grids for schedule in table14(18)}
    assert {tuple((w, h) for h, w in grids) for grids in rows} == rows


@pytest.mark.parametrize(
    ("scales", "fewest", "most", "square_image"),
    [(12, 815, 905, 900), (16, 3318, 3689, 3684), (18, 9093, 10089, 10084)],
)
def test_tokens_of_each_level(scales: int, fewest: int, most: int, square_image: int) -> None:
    schedules = table14(scales)
    tokens = [schedule.tokens for schedule in schedules]
    assert (len(schedules), min(tokens), max(tokens)) == (41, fewest, most)
    assert nearest(schedules, 100, 100).tokens == square_image


@given(st.integers(1, 18))
def test_names_are_unique_at_every_number_of_scales(scales: int) -> None:
    schedules = table14(scales)
    assert len({schedule.name for schedule in schedules}) == len(schedules)
    assert all(len(schedule.grids) == scales for schedule in schedules)


def test_a_schedule_counts_tokens_and_pixels() -> None:
    schedule = square([1, 2, 4], cell=8)
    assert schedule.lengths == (1, 4, 16)
    assert schedule.starts == (0, 1, 5)
    assert (schedule.tokens, schedule.height, schedule.width) == (21, 32, 32)
    assert schedule.name == "square-8/4x4"


def test_names_tell_the_level_and_the_last_grid() -> None:
    assert nearest(table14(12), 1, 4).name == "table14-12/32x8"


def test_levels_are_tables_or_square_grids() -> None:
    assert level_schedules("table14", 12, 16) == table14(12)
    assert level_schedules([1, 2, 4], None, 8) == (square([1, 2, 4], 8),)
    assert level_schedules("table14", 12, 8)[0].cell == 8


@given(st.sampled_from(table14(12)), st.integers(1, 50))
def test_a_picture_of_a_schedules_own_shape_gets_it(schedule: ScaleSchedule, factor: int) -> None:
    assert nearest(table14(12), schedule.width * factor, schedule.height * factor) == schedule


def test_nearness_is_of_log_ratios_of_the_grids() -> None:
    wide, tall = ScaleSchedule("wide", ((1, 1), (2, 8))), ScaleSchedule("square", ((1, 1), (4, 4)))
    assert nearest((wide, tall), 190, 100) == tall
    assert nearest((wide, tall), 210, 100) == wide


@pytest.mark.parametrize("grids", [(), ((2, 2),), ((1, 1), (4, 4), (3, 5))])
def test_grids_start_with_one_cell_and_grow(grids: tuple[Grid, ...]) -> None:
    with pytest.raises(ValueError, match="wrong"):
        ScaleSchedule("wrong", grids)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="not 19"):
        table14(19)
    with pytest.raises(ValueError, match="0x5"):
        nearest(table14(12), 0, 5)
    with pytest.raises(ValueError, match="table14"):
        level_schedules("table14", None, 16)
    with pytest.raises(ValueError, match="at least one"):
        square([], 8)
