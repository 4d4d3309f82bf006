import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from jobs.curate.edit.pairs import MAX_DECIBELS, SIDE, measure_pair, ssim_map, working_copy

Floats = npt.NDArray[np.float32]


def photo(seed: int = 0, side: int = 96) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    return small.resize((side, side), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 75) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def test_a_box_that_was_painted_is_found_and_the_rest_is_equal() -> None:
    before, after = photo(), photo()
    ImageDraw.Draw(after).rectangle((24, 12, 47, 35), fill="black")
    found = measure_pair(before, after)
    assert found.changed == pytest.approx(24 * 24 / 96**2, rel=0.15)
    box = [found.left, found.top, found.right, found.bottom]
    assert box == pytest.approx([0.25, 0.125, 0.5, 0.375], abs=0.02)
    assert [found.ssim, found.psnr] == pytest.approx([1, MAX_DECIBELS], abs=0.01)
    assert found.hash_distance > 0


def test_equal_pictures_have_not_changed() -> None:
    found = measure_pair(photo(), photo())
    assert (found.changed, found.left, found.right, found.hash_distance) == (0, 0, 0, 0)
    assert [found.ssim, found.psnr] == pytest.approx([1, MAX_DECIBELS])


def test_compression_alone_changes_nothing_visibly() -> None:
    found = measure_pair(photo(), jpeg(photo()))
    assert found.changed == 0
    assert found.psnr is not None
    assert 25 < found.psnr < 60


def test_another_picture_leaves_nothing_outside() -> None:
    found = measure_pair(photo(1), Image.new("RGB", (96, 96), "white"))
    assert found.changed > 0.9
    assert (found.ssim, found.psnr) == (None, None)


def test_pictures_of_two_sizes_are_compared_at_the_first_ones() -> None:
    found = measure_pair(photo(), photo().resize((192, 192), Image.Resampling.LANCZOS))
    assert found.changed < 0.01


def test_large_pictures_are_measured_small() -> None:
    assert working_copy(photo(side=1024)).size == (SIDE, SIDE)
    assert working_copy(photo(side=64)).size == (64, 64)


def similarity_at(one: Floats, other: Floats, y: int, x: int) -> float:
    """SSIM at a pixel as Wang et al. (2004) define it, equations 13 to 16: weighted moments of a window."""
    place = np.arange(-5, 6)
    weights = np.exp(-(place[:, None] ** 2 + place[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    a, b = (array[y - 5 : y + 6, x - 5 : x + 6].astype(np.float64) for array in (one, other))
    mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
    variance_a, variance_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
    covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(numerator / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)))


def test_similarity_is_that_of_its_definition() -> None:
    one = np.asarray(photo(1).convert("L"), np.float32)
    other = np.asarray(jpeg(photo(1), 10).convert("L"), np.float32)
    ours = ssim_map(one, other)
    places = [(y, x) for y in range(5, 91, 7) for x in range(5, 91, 7)]
    assert [ours[place] for place in places] == pytest.approx(
        [similarity_at(one, other, *place) for place in places], abs=2e-3
    )
    assert min(similarity_at(one, other, *place) for place in places) < 0.9
