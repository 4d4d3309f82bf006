"""Edits of cut-outs: what the words say happens to the object, and to nothing else."""

from __future__ import annotations

import colorsys
import io
import random
from pathlib import Path

import numpy as np
import pytest
from curated_pictures import COLORS, cutouts, photos, picture, publish
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from jobs.curate.edit.operations import colours
from jobs.curate.edit.operations.compose import COLORS as GROUNDS
from jobs.curate.edit.operations.cutouts import CUTOUT_TASKS, make_cutout_edit
from jobs.curate.edit.operations.made import CannotEditError, Made
from jobs.curate.edit.operations.material import Material, read_materials
from jobs.recipe.curation.edit import EditTask
from jobs.recipe.curation.synthetic import SyntheticEdits

SEEDS = st.integers(0, 10_000)
FEW = settings(max_examples=8)
PLACES = {"left": (0, 0.5), "right": (1, 0.5), "top": (0.5, 0), "bottom": (0.5, 1), "middle": (0.5, 0.5)}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Material]:
    """Cut-outs alone, so that grounds are plain."""
    return read_materials(publish(tmp_path_factory.mktemp("c"), [cutouts(8)]), "data/000000.tar", 10**6)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[Material]:
    """Cut-outs and photos."""
    pairs = [*cutouts(3), *photos(12)]
    return read_materials(publish(tmp_path_factory.mktemp("m"), [pairs]), "data/000000.tar", 10**6)


def make(company: list[Material], task: EditTask, seed: int) -> Made:
    rng = random.Random(seed)
    material = rng.choice([one for one in company if one.kind == "cutout"])
    return make_cutout_edit(material, task, company, rng, SyntheticEdits(max_side=256), 10**6)


def open_both(made: Made) -> tuple[np.ndarray, np.ndarray]:
    before, after = (Image.open(io.BytesIO(data)).convert("RGB") for data in (made.before, made.after))
    assert before.size == after.size
    return np.asarray(before, np.int32), np.asarray(after, np.int32)


def box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Centre and size of what is set, as shares: x, y, width, height."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    (top, bottom), (left, right) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    height, width = mask.shape
    return (
        (left + right) / 2 / width,
        (top + bottom) / 2 / height,
        (right - left) / width,
        (bottom - top) / height,
    )


def differs(first: np.ndarray, second: np.ndarray | tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.abs(first - np.asarray(second)).max(axis=2) > 12)


def ground_of(pixels: np.ndarray) -> tuple[int, ...]:
    """The plain colour of the corners."""
    (color,) = {tuple(pixels[y, x]) for y in (0, -1) for x in (0, -1)}
    return color


@pytest.mark.parametrize("task", sorted(CUTOUT_TASKS))
@FEW
@given(seed=SEEDS)
def test_an_edit_is_a_pure_function_and_changes_something(
    task: EditTask, seed: int, mixed: list[Material]
) -> None:
    made = make(mixed, task, seed)
    assert made == make(mixed, task, seed)
    before, after = open_both(made)
    assert differs(before, after).mean() > 0.005
    assert made.parents[0] in {one.sample_id for one in mixed if one.kind == "cutout"}


@FEW
@given(seed=SEEDS)
def test_what_is_removed_leaves_the_ground_and_the_others(seed: int, objects: list[Material]) -> None:
    made = make(objects, "remove", seed)
    before, after = open_both(made)
    ground = ground_of(before)
    gone = differs(before, after)
    assert not differs(after, ground)[gone].any()
    assert (before[~gone] == after[~gone]).all() or np.abs(before[~gone] - after[~gone]).max() <= 12
    assert differs(after, ground).any() == (len(made.parents) == 2)


@FEW
@given(seed=SEEDS)
def test_what_is_added_stands_where_the_words_say(seed: int, objects: list[Material]) -> None:
    made = make(objects, "add", seed)
    before, after = open_both(made)
    x, _, _, _ = box(differs(before, after))
    words = made.instruction
    if " of the " in words:
        other, _, _, _ = box(differs(before, ground_of(before)))
        assert ("to the left of" in words) == (x < other)
    elif "middle" in words:
        assert x == pytest.approx(0.5, abs=0.02)
    else:
        assert ("left" in words) == (x < 0.5)
    assert any(f"a {color} ball" in words for color in COLORS)


@FEW
@given(seed=SEEDS)
def test_a_move_goes_where_it_is_told_and_only_there(seed: int, objects: list[Material]) -> None:
    made = make(objects, "move", seed)
    before, after = open_both(made)
    old, new = (np.array(box(differs(pixels, ground_of(pixels)))) for pixels in (before, after))
    assert np.abs(old[2:] - new[2:]).max() < 0.02
    assert np.abs(old[:2] - new[:2]).min() < 0.02
    (goal,) = [place for word, place in PLACES.items() if f"to the {word}" in made.instruction]
    assert np.abs(new[:2] - goal).sum() < np.abs(old[:2] - goal).sum()


@FEW
@given(seed=SEEDS)
def test_sizes_change_as_told_and_in_place(seed: int, objects: list[Material]) -> None:
    made = make(objects, "resize", seed)
    before, after = open_both(made)
    old, new = (np.array(box(differs(pixels, ground_of(pixels)))) for pixels in (before, after))
    grows = any(word in made.instruction.lower() for word in ("bigger", "larger", "enlarge"))
    ratio = new[2] / old[2]
    assert ratio > 1.4 if grows else ratio < 0.7
    assert np.abs(old[:2] - new[:2]).max() < 0.02


@FEW
@given(seed=SEEDS)
def test_a_background_becomes_the_one_told(seed: int, objects: list[Material]) -> None:
    made = make(objects, "background", seed)
    before, after = open_both(made)
    new = ground_of(after)
    (name,) = [name for name, rgb in GROUNDS.items() if rgb == new]
    assert name in made.instruction
    assert ground_of(before) != new
    object_pixels = differs(before, ground_of(before)) & differs(after, new)
    same = np.abs(before - after).max(axis=2)[object_pixels] <= 2
    assert same.mean() > 0.8  # its soft edge mixes with the ground


@FEW
@given(seed=SEEDS)
def test_zooming_keeps_the_object_in_the_picture(seed: int, objects: list[Material]) -> None:
    made = make(objects, "zoom", seed)
    before, after = open_both(made)
    old, new = (np.array(box(differs(pixels, ground_of(pixels)))) for pixels in (before, after))
    nearer = any(word in made.instruction.lower() for word in ("zoom in", "closer"))
    assert new[2] / old[2] == pytest.approx(2.0 if nearer else 0.5, rel=0.1)
    assert (new if nearer else old)[:2] == pytest.approx([0.5, 0.5], abs=0.02)


@FEW
@given(seed=SEEDS)
def test_the_new_color_is_the_one_that_is_seen(seed: int, objects: list[Material]) -> None:
    made = make(objects, "recolour", seed)
    before, after = open_both(made)
    changed = differs(before, after)
    assert changed.any()
    hue, _, value = colorsys.rgb_to_hsv(*np.median(after[changed], axis=0) / 255)
    hues = {"red": 0, "orange": 30, "brown": 26, "yellow": 54, "olive": 54, "green": 120, "turquoise": 180}
    hues |= {"blue": 225, "purple": 285, "pink": 325}
    (color,) = [name for name in hues if name in made.instruction.split("ball number")[-1]]
    distance = abs((hue * 360 - hues[color] + 180) % 360 - 180)
    assert distance < 40
    assert ("dark" in made.instruction) <= (value < 0.6)


@pytest.mark.parametrize(
    ("color", "name"),
    [
        ((220, 30, 40), "red"),
        ((110, 60, 20), "brown"),
        ((250, 225, 50), "yellow"),
        ((20, 30, 90), "dark blue"),
        ((20, 20, 20), "black"),
        ((240, 240, 240), "white"),
        ((128, 128, 128), "gray"),
        ((250, 105, 190), "pink"),
    ],
)
def test_colors_are_called_by_their_names(color: tuple[int, int, int], name: str) -> None:
    layer = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    layer.paste((*color, 255), (4, 4, 16, 16))
    assert colours.dominant(layer) == (name, 1.0)


def test_a_chequered_object_has_no_dominant_color_to_name() -> None:
    layer = Image.new("RGBA", (20, 20), "red")
    layer.paste("blue", (0, 0, 20, 10))
    assert colours.dominant(layer)[1] == 0.5


def test_an_object_without_a_name_is_not_added(tmp_path: Path) -> None:
    image = Image.new("RGBA", (100, 100))
    ImageDraw.Draw(image).ellipse((10, 10, 90, 90), fill="green")
    folder = publish(tmp_path, [[picture("folder#x", "Wow!", image)]])
    company = read_materials(folder, "data/000000.tar", 10**6)
    with pytest.raises(CannotEditError, match="no_name"):
        make(company, "add", 0)
    with pytest.raises(CannotEditError, match="no_other_object"):
        make(company, "replace", 0)
    assert "the object" in make(company, "remove", 0).instruction
