"""Measures of pictures against their definitions, and bands against the area that was planted."""

from __future__ import annotations

import io
import math
import statistics
from operator import mul

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jobs.curate.frames import frame_share
from jobs.curate.scores import SCORE_SIDE, measure
from jobs.images import decode, decode_reduced


def picture(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    rng = np.random.default_rng(seed)
    cells = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    return cells.resize((width, height), Image.Resampling.BICUBIC)


def pixels(image: Image.Image) -> list[tuple[int, int, int]]:
    return [tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()]


def colourfulness(image: Image.Image) -> float:
    """Equations 7 to 10 of Hasler and S\u00fcsstrunk, pixel by pixel."""
    first = [red - green for red, green, _ in pixels(image)]
    second = [(red + green) / 2 - blue for red, green, blue in pixels(image)]
    spread = math.sqrt(statistics.pvariance(first) + statistics.pvariance(second))
    return spread + 0.3 * math.hypot(statistics.fmean(first), statistics.fmean(second))


@pytest.mark.parametrize("seed", range(3))
def test_measures_follow_their_definitions(seed: int) -> None:
    image = picture(seed)
    scores = measure(image)
    weights = (0.299, 0.587, 0.114)
    grey = np.array([round(sum(map(mul, pixel, weights))) for pixel in pixels(image)])
    assert scores.colourfulness == pytest.approx(colourfulness(image), rel=1e-4)
    assert scores.contrast == pytest.approx(statistics.pstdev(grey.tolist()), rel=1e-3)
    shares = np.bincount(grey) / grey.size
    assert scores.entropy == pytest.approx(-sum(p * math.log2(p) for p in shares.tolist() if p), rel=1e-3)


def test_a_grey_picture_has_no_colour() -> None:
    assert measure(picture(0).convert("L").convert("RGB")).colourfulness == 0
    assert measure(Image.new("RGB", (50, 50), "red")).contrast == 0


@pytest.mark.parametrize("sides", [(0, 0, 0, 24), (20, 0, 0, 20), (0, 16, 0, 0), (14, 14, 14, 14)])
def test_bands_have_the_area_that_was_planted(sides: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = sides
    content = picture(5, 200, 160)
    sheet = Image.new("RGB", (200 + left + right, 160 + top + bottom), "#203040")
    sheet.paste(content, (left, top))
    area = 1 - 200 * 160 / (sheet.width * sheet.height)
    assert frame_share(np.asarray(sheet)) == pytest.approx(area, abs=0.03)
    assert frame_share(np.asarray(content)) == 0


def test_writing_on_a_band_changes_little() -> None:
    sheet = Image.new("RGB", (240, 190), "white")
    sheet.paste(picture(6, 240, 160), (0, 0))
    plain = frame_share(np.asarray(sheet))
    ImageDraw.Draw(sheet).text((6, 166), "do not copy - do not copy - do not copy", fill="black")
    assert frame_share(np.asarray(sheet)) == pytest.approx(plain, abs=0.02)


def test_what_is_too_small_has_no_band() -> None:
    assert frame_share(np.zeros((1, 1, 3), np.uint8)) == 0
    assert frame_share(np.full((11, 400, 3), 255, np.uint8)) == 0


@pytest.mark.parametrize(
    "size", [(257, 300), (511, 700), (1000, 250), (2000, 700), (1023, 1025), (600, 2300)]
)
def test_a_picture_that_is_decoded_small_measures_nearly_the_same(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(size))
    layers = [
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize(size) for side in (4, 16, 64)
    ]
    mixed = sum(w * np.asarray(layer, np.float32) for w, layer in zip((0.5, 0.3, 0.2), layers, strict=True))
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(mixed, np.uint8)).save(buffer, "JPEG", quality=90)
    whole = measure(decode(buffer.getvalue()))
    small = measure(decode_reduced(buffer.getvalue(), SCORE_SIDE)[0])
    assert small.entropy == pytest.approx(whole.entropy, abs=0.05)
    assert small.contrast == pytest.approx(whole.contrast, rel=0.03)
    assert small.colourfulness == pytest.approx(whole.colourfulness, rel=0.03)
    assert (small.border, small.frame) == (whole.border, whole.frame)
    assert (small.perceptual_hash ^ whole.perceptual_hash).bit_count() <= 6
    assert 0.8 < small.sharpness / whole.sharpness < 2
