"""Edits of whole pictures: brighter is brighter, left is left, and the size stays."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from curated_pictures import photo, photos, publish
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from jobs.curate.edit.operations import style
from jobs.curate.edit.operations.lettering import COLORS, write
from jobs.curate.edit.operations.lighting import relight
from jobs.curate.edit.operations.made import CannotEditError
from jobs.curate.edit.operations.material import read_materials
from jobs.curate.edit.operations.style import restyle
from jobs.curate.edit.operations.view import turn, zoom
from jobs.curate.edit.operations.whole import WHOLE_TASKS, make_whole_edit
from jobs.recipe.curation.edit import EditTask
from jobs.recipe.curation.synthetic import SyntheticEdits

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=20)
Edit = Callable[[Image.Image, random.Random], tuple[Image.Image, str]]


def edit_with(edit: Edit, image: Image.Image, words: str) -> tuple[Image.Image, str]:
    """The first edit whose instruction has these words."""
    for seed in range(1000):
        after, text = edit(image, random.Random(seed))
        if words in text:
            return after, text
    raise AssertionError(f"no instruction says {words!r}")


@FEW
@given(seed=SEEDS)
def test_light_changes_as_told(seed: int) -> None:
    image = photo(seed)
    after, text = relight(image, random.Random(seed))
    old, new = np.asarray(image, float), np.asarray(after, float)
    if "brighter" in text or "lighter" in text:
        assert new.mean() > old.mean()
    elif "darker" in text:
        assert new.mean() < old.mean()
    else:
        warmth = (new[..., 0] - new[..., 2]).mean() - (old[..., 0] - old[..., 2]).mean()
        assert (warmth > 0) == ("warmer" in text)


def test_a_lot_is_more_than_a_little() -> None:
    image = photo(1)
    means = [
        np.asarray(edit_with(relight, image, words)[0], float).mean()
        for words in ("a lot darker", "it darker", "a little darker", "a little brighter", "a lot brighter")
    ]
    assert means == sorted(means)


@pytest.mark.parametrize("make", [style.painting, style.cartoon, style.inked, style.pencil, style.pixel_art])
def test_styles_keep_size_and_give_the_same_again(make: Callable[[Image.Image], Image.Image]) -> None:
    image = photo(3, 120, 90)
    after = make(image)
    assert after.size == image.size
    assert after.mode == "RGB"
    assert after.tobytes() == make(image).tobytes() != image.tobytes()


def test_styles_are_what_they_are_called() -> None:
    image = photo(4)
    gray = np.asarray(edit_with(restyle, image, "black and white")[0])
    assert (gray[..., 0] == gray[..., 1]).all()
    few = edit_with(restyle, image, "osterize")[0]
    assert {value for _, color in few.getcolors() or () for value in color} <= {0, 85, 170, 255}
    cells = np.asarray(edit_with(restyle, image, "pixel art")[0])
    assert len(np.unique(cells.reshape(-1, 3), axis=0)) <= 24


@FEW
@given(seed=SEEDS)
def test_a_word_is_written_where_and_as_told(seed: int) -> None:
    image = photo(seed, 240, 180)
    after, text = write(image, None, random.Random(seed))
    changed = np.abs(np.asarray(image, int) - np.asarray(after, int)).max(axis=2) > 8
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    y, x = (rows[0] + rows[-1]) / 2 / 180, (columns[0] + columns[-1]) / 2 / 240
    assert ("top" in text) == (y < 0.4)
    assert ("bottom" in text) == (y > 0.6)
    assert ("left" in text) == (x < 0.45)
    assert ("right" in text) == (x > 0.55)
    (color,) = [name for name in COLORS if f" {name}" in text.rpartition('"')[2]]
    inside = np.asarray(after)[changed]
    assert (np.abs(inside - np.array(COLORS[color])).max(axis=1) < 8).mean() > 0.2
    assert changed.mean() < 0.5


def test_a_picture_too_small_for_letters_is_refused() -> None:
    with pytest.raises(CannotEditError, match="no_room"):
        write(photo(1, 60, 40), None, random.Random(0))


def quadrants() -> Image.Image:
    """Red, green, blue, white from the top left to the bottom right."""
    image = Image.new("RGB", (100, 100))
    for number, color in enumerate(("red", "lime", "blue", "white")):
        image.paste(
            color, (50 * (number % 2), 50 * (number // 2), 50 * (number % 2) + 50, 50 * (number // 2) + 50)
        )
    return image


@pytest.mark.parametrize(
    ("words", "color"),
    [
        ("top left", (255, 0, 0)),
        ("top right", (0, 255, 0)),
        ("bottom left", (0, 0, 255)),
        ("bottom right", (255, 255, 255)),
    ],
)
def test_zooming_into_a_part_fills_the_picture_with_it(words: str, color: tuple[int, int, int]) -> None:
    after, _ = edit_with(zoom, quadrants(), words)
    share = (np.abs(np.asarray(after, int) - np.array(color)).max(axis=2) < 20).mean()
    assert after.size == (100, 100)
    assert share > 0.55


def test_a_mirror_mirrors() -> None:
    image = photo(6)
    assert edit_with(turn, image, "Mirror")[0].tobytes() == ImageOps.mirror(image).tobytes()


@pytest.mark.parametrize(("words", "falls"), [(" clockwise", True), (" counterclockwise", False)])
def test_a_turn_goes_round_as_told(words: str, falls: bool) -> None:
    """A level line: turned clockwise, its right end is lower than its left."""
    image = Image.new("RGB", (200, 200), "white")
    image.paste("black", (0, 97, 200, 103))
    after, _ = edit_with(turn, image, words)
    dark = np.asarray(after.convert("L")) < 128
    left, right = np.flatnonzero(dark[:, 10]).mean(), np.flatnonzero(dark[:, 189]).mean()
    assert (right > left + 5) == falls
    assert (right < left - 5) != falls


@pytest.mark.parametrize(("side", "column"), [("left", 5), ("right", 194)])
def test_the_side_that_comes_nearer_is_larger(side: str, column: int) -> None:
    image = Image.new("RGB", (200, 200), "white")
    image.paste("black", (0, 80, 200, 120))
    after, _ = edit_with(turn, image, f"{side} side")
    heights = (np.asarray(after.convert("L")) < 128).sum(axis=0)
    assert heights[column] > heights[199 - column] + 5


@FEW
@given(seed=SEEDS)
def test_no_view_has_an_empty_corner(seed: int) -> None:
    image = Image.new("RGB", (150, 100), (200, 40, 90))
    for edit in (zoom, turn):
        after, _ = edit(image, random.Random(seed))
        assert after.size == image.size
        assert after.getextrema() == image.getextrema()


@pytest.mark.parametrize("task", sorted(WHOLE_TASKS))
def test_what_is_small_enough_keeps_its_bytes(task: EditTask, tmp_path: Path) -> None:
    (material,) = read_materials(publish(tmp_path, [photos(1)]), "data/000000.tar", 10**6)
    made = make_whole_edit(material, task, random.Random(1), SyntheticEdits(), 10**6)
    smaller = make_whole_edit(material, task, random.Random(1), SyntheticEdits(max_side=100), 10**6)
    assert made.before == material.data
    assert [Image.open(io.BytesIO(data)).size for data in (smaller.before, smaller.after)] == [(100, 75)] * 2
    assert made.after.startswith(b"\xff\xd8")
