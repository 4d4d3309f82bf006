"""Every picture is a small PNG that depends on its data and on nothing else."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from jobs.pictures.charts import FunnelStage, bar_chart, funnel, loss_curves
from jobs.pictures.packing import pack_fill, packer_bars
from jobs.pictures.sheets import SampleRow, contact_sheet, reconstruction_grid, sample_grid, sample_sheet
from jobs.pictures.style import GREEN, MAX_BYTES, RED, image_png
from jobs.scenes.draw import draw
from jobs.scenes.world import sample_scene

Images = list[Image.Image]


def _images(count: int, seed: int = 0) -> Images:
    return [draw(sample_scene(seed, index), 64) for index in range(count)]


def _rows(seed: int, passed: bool | None = True) -> list[SampleRow]:
    return [SampleRow(f"a photo of prompt {n}", _images(4, seed), [passed] * 4) for n in range(3)]


PICTURES: dict[str, Callable[[int], bytes]] = {
    "contact_sheet": lambda n: contact_sheet(
        _images(7, n), [f"caption {i}" for i in range(7)], title="sheet"
    ),
    "reconstruction_grid": lambda n: reconstruction_grid(_images(5), {"all scales": _images(5, n)}),
    "sample_grid": lambda n: sample_grid(_rows(n)),
    "bar_chart": lambda n: bar_chart({"stars": 3, "circles": n}, "Topics", "pictures", {"stars": 2}),
    "funnel": lambda n: funnel([FunnelStage("filtered", 90, {"blurred": n}), FunnelStage("topics", 90)]),
    "pack_fill": lambda n: pack_fill([900, 1000 - 100 * n], [1e9, 1.1e9], 1024, 1.2e9),
    "packer_bars": lambda n: packer_bars(
        {"balanced": {"throughput": 1.1, "balance": 0.99, "token_fill": 0.5 + 0.1 * n}}, 4
    ),
    "loss_curves": lambda n: loss_curves([1, 2, 3], {"scale 1": [3.0, 2.0, n], "text": [2.0, 1.0, math.nan]}),
}


def _open(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_small_pngs_of_a_readable_size(name: str) -> None:
    png = PICTURES[name](1)
    image = _open(png)
    assert image.format == "PNG"
    assert len(png) <= MAX_BYTES
    assert 200 <= image.width <= 2000
    assert 100 <= image.height <= 2000


@pytest.mark.parametrize("name", PICTURES)
def test_equal_data_gives_equal_bytes_and_other_data_does_not(name: str) -> None:
    assert PICTURES[name](1) == PICTURES[name](1)
    assert PICTURES[name](1) != PICTURES[name](2)


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_but_pixels_is_stored(name: str) -> None:
    assert not {"Software", "Creation Time", "date:create"} & set(_open(PICTURES[name](1)).info)


def test_even_noise_stays_small() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 128, 128, 3), dtype=np.uint8)
    assert len(contact_sheet([Image.fromarray(pixels) for pixels in noise], ["noise"] * 24)) <= MAX_BYTES


def test_marks_say_which_samples_are_right() -> None:
    def colors(passed: bool | None) -> set[tuple[int, ...]]:
        return {color for _, color in sample_sheet(_rows(0, passed)).getcolors(1 << 24)}

    green, red = (tuple(bytes.fromhex(color[1:])) for color in (GREEN, RED))
    assert green in colors(True) - colors(None)
    assert red in colors(False) - colors(None)


def test_images_stand_where_they_should() -> None:
    plain = [Image.new("RGB", (30, 60), color) for color in ("#ff0000", "#00ff00", "#0000ff")]
    sheet = _open(contact_sheet(plain, ["r", "g", "b"], columns=3, cell=100)).convert("RGB")
    found = [sheet.getpixel((14 + n * 108 + 50, 14 + 50)) for n in range(3)]
    assert found == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert sheet.getpixel((14 + 10, 14 + 50)) == (255, 255, 255)  # a narrow image is not stretched


@pytest.mark.parametrize(
    "make",
    [
        lambda: contact_sheet([], []),
        lambda: reconstruction_grid([], {}),
        lambda: sample_grid([]),
        lambda: bar_chart({}, "Nothing"),
        lambda: funnel([]),
        lambda: pack_fill([], [], 1024, 1.0),
        lambda: packer_bars({}, 4),
        lambda: loss_curves([], {}),
    ],
)
def test_no_data_is_drawn_as_none(make: Callable[[], bytes]) -> None:
    assert _open(make()).format == "PNG"


def test_long_and_foreign_labels_are_cut_to_fit() -> None:
    texts = ["word " * 200, "x" * 500, "ein Bild, 画像, صورة, 🎨", "", "new\nline"]
    short = contact_sheet(_images(5), ["a"] * 5, columns=5)
    long = contact_sheet(_images(5), texts, columns=5)
    assert _open(long).size == _open(short).size
    bar_chart(dict.fromkeys(texts, 1.0), "Topics")
    rng = random.Random(0)
    bar_chart({str(n): rng.random() for n in range(500)}, "Very many")


@pytest.mark.parametrize("name", ["train_$5_and_$6", "$x^$", "100 $ a year, or $"])
def test_names_are_no_mathematics(name: str) -> None:
    """A subset may be called anything; what stands between dollar signs is shown as it is."""
    bar_chart({name: 1.0}, f"Of {name}")
    funnel([FunnelStage(name, 1, {name: 2})], f"Of {name}")
    loss_curves([1, 2], {name: [2.0, 1.0]}, f"Of {name}")


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="1 labels for 2 images"):
        contact_sheet(_images(2), ["one"])
    with pytest.raises(ValueError, match="all scales"):
        reconstruction_grid(_images(2), {"all scales": _images(1)})
    with pytest.raises(ValueError, match="marks"):
        sample_grid([SampleRow("a star", _images(2), [True])])
    with pytest.raises(ValueError, match="'text'"):
        loss_curves([1, 2], {"text": [1.0]})


def test_a_sheet_too_large_keeps_the_colours_of_small_things() -> None:
    """A palette would spend itself on the noise and paint the red patch like its neighbours."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (600, 600, 3), dtype=np.uint8)
    pixels[..., 0] = 0
    pixels[100:160, 100:160] = (220, 30, 40)
    png = image_png(Image.fromarray(pixels))
    decoded = Image.open(io.BytesIO(png)).convert("RGB")
    assert len(png) <= MAX_BYTES
    assert decoded.width < 600
    middle = np.asarray(decoded.resize((600, 600)))[115:145, 115:145].mean(axis=(0, 1))
    assert np.abs(middle - (220, 30, 40)).max() < 4
