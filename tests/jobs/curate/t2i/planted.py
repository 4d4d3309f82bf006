"""A corpus with known faults: clean pictures, and others in which one fault was planted each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from curate.t2i.clean import KINDS, Rng, clean, color, jpeg, night, pattern
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

Change = Callable[[Image.Image, Rng], Image.Image]


@dataclass(frozen=True)
class Planted:
    """A picture's bytes, and the reason that is right for it: none where it is clean."""

    name: str
    data: bytes
    reason: str | None = None


# Faults --------------------------------------------------------------------------------------


def blurred(image: Image.Image, rng: Rng) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(min(image.size) * rng.uniform(0.05, 0.09)))


def tiny(image: Image.Image, rng: Rng) -> Image.Image:
    scale = int(rng.integers(16, 60)) / min(image.size)
    return image.resize((math.ceil(image.width * scale), math.ceil(image.height * scale)))


def elongated(image: Image.Image, rng: Rng) -> Image.Image:
    size = (int(rng.integers(460, 640)), int(rng.integers(70, 100)))
    return image.resize(size if rng.random() < 0.5 else size[::-1])


def solid(image: Image.Image, rng: Rng) -> Image.Image:
    """One colour, with a few specks of dust."""
    plain = Image.new("RGB", image.size, color(rng))
    pen = ImageDraw.Draw(plain)
    for _ in range(int(rng.integers(0, 12))):
        x, y = rng.uniform(0, image.width), rng.uniform(0, image.height)
        pen.ellipse((x, y, x + 2, y + 2), fill=color(rng))
    return plain


def small_on_plain(image: Image.Image, rng: Rng) -> Image.Image:
    """Most of the sheet is empty around the content."""
    scale = rng.uniform(1.5, 2.2)
    sheet = Image.new("RGB", (int(image.width * scale), int(image.height * scale)), _ground(image, rng)[0])
    sheet.paste(image, ((sheet.width - image.width) // 2, (sheet.height - image.height) // 2))
    return sheet


def _ground(image: Image.Image, rng: Rng) -> tuple[str, str]:
    """A ground that stands out from the picture's own edges, and an ink that stands out from the ground."""
    sides = np.asarray(image.resize((32, 32)), np.int16)
    edges = np.concatenate([sides[0], sides[-1], sides[:, 0], sides[:, -1]])
    choices = {"white": "#606060", "black": "white", "#20304a": "#f0e0a0", "#802020": "#ffe0e0"}
    apart = [name for name in choices if np.abs(edges - _rgb(name)).max(axis=1).mean() > 90]
    name = str(rng.choice(apart or ["white"]))
    return name, choices[name]


def _rgb(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.asarray(Image.new("RGB", (1, 1), name), np.int16)[0, 0]


def _write(sheet: Image.Image, rng: Rng, top: int, thick: int, ink: str, again: bool) -> None:
    """Words along a band, once or again and again."""
    pen, face = ImageDraw.Draw(sheet), ImageFont.load_default(max(8, int(thick * 0.5)))
    words = str(rng.choice(["\N{COPYRIGHT SIGN} studio", "stock 4711", "www.example.org", "SAMPLE"]))
    x = 8
    while x < sheet.width:
        pen.text((x, top + thick * 0.18), words, fill=ink, font=face)
        x += int(pen.textlength(words, face)) + 14 if again else sheet.width


def band_with_words(image: Image.Image, rng: Rng) -> Image.Image:
    thick = int(image.height * rng.uniform(0.08, 0.16)) + 8
    ground, ink = _ground(image, rng)
    below = rng.random() < 0.7
    sheet = Image.new("RGB", (image.width, image.height + thick), ground)
    sheet.paste(image, (0, 0 if below else thick))
    _write(sheet, rng, image.height if below else 0, thick, ink, bool(rng.random() < 0.5))
    return sheet


def frame_with_words(image: Image.Image, rng: Rng) -> Image.Image:
    sheet, thick, ink = _framed(image, rng)
    for top in (0, sheet.height - thick):
        _write(sheet, rng, top, thick, ink, again=True)
    return sheet


def plain_frame(image: Image.Image, rng: Rng) -> Image.Image:
    return _framed(image, rng)[0]


def _framed(image: Image.Image, rng: Rng) -> tuple[Image.Image, int, str]:
    thick = int(min(image.size) * rng.uniform(0.06, 0.1)) + 6
    ground, ink = _ground(image, rng)
    sheet = Image.new("RGB", (image.width + 2 * thick, image.height + 2 * thick), ground)
    sheet.paste(image, (thick, thick))
    return sheet, thick, ink


def letterbox(image: Image.Image, rng: Rng) -> Image.Image:
    thick = int(image.height * rng.uniform(0.08, 0.16))
    sheet = Image.new("RGB", (image.width, image.height + 2 * thick), _ground(image, rng)[0])
    sheet.paste(image, (0, thick))
    return sheet


FAULTS: dict[str, tuple[Change, ...]] = {
    "small": (tiny,),
    "aspect": (elongated,),
    "solid": (solid,),
    "blurred": (blurred,),
    "border": (small_on_plain,),
    "frame": (band_with_words, frame_with_words, plain_frame, letterbox),
}


# Copies --------------------------------------------------------------------------------------


def _cropped(image: Image.Image, share: float) -> Image.Image:
    x, y = int(image.width * share), int(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


COPIES: dict[str, Change] = {
    "resized": lambda image, _: image.resize((image.width * 6 // 10, image.height * 6 // 10)),
    "cropped": lambda image, rng: _cropped(image, rng.uniform(0.005, 0.015)),
    "brightened": lambda image, _: ImageEnhance.Brightness(image).enhance(1.06),
    "paled": lambda image, _: ImageEnhance.Color(image).enhance(0.8),
    "re-encoded": lambda image, _: image,
}
COPIED = tuple(kind for kind in KINDS if kind not in (pattern, night))
"""Perceptual hashes of what repeats itself, and of scattered dots, are little more than chance."""


def corpus(cleans: int, faults: int, copies: int) -> Iterator[Planted]:
    """Clean pictures, `faults` of every fault, and `copies` of every kind of copy and of equal files.

    Names sort in this order, so that what is copied stands first.
    """
    for number in range(cleans):
        yield Planted(f"a-clean-{number:04d}.jpg", jpeg(clean(number)))
    for at, (name, change) in enumerate(COPIES.items()):
        for number in range(copies):
            rng = np.random.default_rng([at, number])
            original = clean(_copied(at * copies + number, cleans))
            quality = 45 if name == "re-encoded" else 88
            yield Planted(f"b-{name}-{number}.jpg", jpeg(change(original, rng), quality), "near_duplicate")
    for number in range(copies):
        yield Planted(f"c-same-{number}.jpg", jpeg(clean(number * 7 % cleans)), "exact_duplicate")
    for reason, changes in FAULTS.items():
        for number in range(faults):
            rng = np.random.default_rng([11, number])
            # Other pictures than the clean ones, so that only the fault is there to be found.
            image = changes[number % len(changes)](clean(5000 + number, COPIED), rng)
            yield Planted(f"d-{reason}-{number:03d}.jpg", jpeg(image), reason)


def _copied(number: int, cleans: int) -> int:
    """The number of a clean picture of a kind that is copied."""
    candidates = [n for n in range(cleans) if KINDS[n % len(KINDS)] in COPIED]
    return candidates[number * 7 % len(candidates)]
