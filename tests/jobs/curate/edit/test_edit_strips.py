import io

import numpy as np
import pytest
from PIL import Image

from jobs.pictures.edit_strips import EditStrip, edit_strips
from jobs.pictures.task_bars import task_bars

LONG = "Replace the old wooden bench in front of the house with a bright red one, " * 4


def photo(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    fine = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), np.uint8))
    return Image.blend(coarse, fine, 0.15)


def sheet(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_a_sheet_of_photos_is_small_and_keeps_its_size() -> None:
    strips = [EditStrip(photo(n), LONG, photo(n + 100), "size mismatch") for n in range(8)]
    png = edit_strips(strips, "rejected")
    assert len(png) <= 100_000
    few_colours = sheet(png)
    drawn = [EditStrip(Image.new("RGB", (9, 9), "red"), "", Image.new("RGB", (9, 9)), "x") for _ in range(8)]
    assert few_colours.size == sheet(edit_strips(drawn, "rejected")).size


def test_both_pictures_are_shown_in_their_order_and_colours() -> None:
    strip = EditStrip(Image.new("RGB", (64, 64), "red"), "Make it blue", Image.new("RGB", (64, 64), "blue"))
    pixels = np.asarray(sheet(edit_strips([strip])))
    red = np.flatnonzero((pixels == (255, 0, 0)).all(axis=2).any(axis=0))
    blue = np.flatnonzero((pixels == (0, 0, 255)).all(axis=2).any(axis=0))
    assert len(red) == len(blue) == 96
    assert red.max() < blue.min()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_number_of_edits_is_a_sheet(count: int) -> None:
    strips = [EditStrip(photo(n, (30, 200)), "", photo(n, (200, 30))) for n in range(count)]
    assert sheet(edit_strips(strips, "kept")).width > 50


def test_task_bars_are_one_picture_for_one_content() -> None:
    before, after, target = {"add": 90, "text": 3}, {"add": 10, "text": 3}, {"add": 0.5, "text": 0.5}
    png = task_bars(before, after, target, "Tasks")
    assert png == task_bars(before, after, target, "Tasks")
    assert png != task_bars(before, before, target, "Tasks")
    assert task_bars({}, {}, {}, "None")
