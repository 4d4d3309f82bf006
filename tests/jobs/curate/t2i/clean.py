"""Clean and varied pictures: drawn by kind, none like another."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Rng = np.random.Generator
Draw = Callable[[Rng, int, int], Image.Image]
Color = tuple[int, ...]


def color(rng: Rng, low: int = 20, high: int = 236) -> Color:
    return tuple(int(c) for c in rng.integers(low, high, 3))


def noise(rng: Rng, cells: int, width: int, height: int) -> Image.Image:
    """Colours that change smoothly over so many cells."""
    pixels = rng.integers(0, 256, (max(2, cells * height // width), cells, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def grain(image: Image.Image, rng: Rng, strength: float = 4) -> Image.Image:
    pixels = np.asarray(image, np.float64) + rng.normal(0, strength, (image.height, image.width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def gradient(rng: Rng, width: int, height: int) -> Image.Image:
    top, bottom = np.array(color(rng), np.float64), np.array(color(rng), np.float64)
    mix = np.linspace(0, 1, height)[:, None, None]
    pixels = np.broadcast_to(top + (bottom - top) * mix, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def texture(rng: Rng, w: int, h: int) -> Image.Image:
    return Image.blend(noise(rng, 5, w, h), noise(rng, 40, w, h), 0.35)


def landscape(rng: Rng, w: int, h: int) -> Image.Image:
    image = gradient(rng, w, h)
    pen, places = ImageDraw.Draw(image), np.linspace(0, w, 12).tolist()
    for layer in range(3):
        heights = h * (0.4 + 0.18 * layer) + rng.normal(0, h * 0.06, 12).cumsum() * 0.4
        ridge = list(zip(places, heights.tolist(), strict=True))
        pen.polygon([(0, h), *ridge, (w, h)], fill=color(rng, 10, 170))
    return grain(image, rng, 6)


def sea(rng: Rng, w: int, h: int) -> Image.Image:
    """A straight horizon: hard to tell from a band."""
    image = gradient(rng, w, h)
    horizon = int(h * rng.uniform(0.15, 0.75))
    below = (w, h - horizon)
    image.paste(Image.blend(gradient(rng, *below), noise(rng, 60, *below), 0.25), (0, horizon))
    x, y, r = rng.uniform(0.2, 0.8) * w, horizon * 0.5, h * 0.07
    ImageDraw.Draw(image).ellipse((x - r, y - r, x + r, y + r), fill=(255, 240, 200))
    return grain(image, rng, 3)


def portrait(rng: Rng, w: int, h: int) -> Image.Image:
    image = noise(rng, 6, w, h).filter(ImageFilter.GaussianBlur(8))
    pen = ImageDraw.Draw(image)
    x, y, r = w * rng.uniform(0.4, 0.6), h * rng.uniform(0.4, 0.5), min(w, h) * rng.uniform(0.2, 0.3)
    pen.ellipse((x - r * 2, y + r, x + r * 2, y + r * 5), fill=color(rng))
    pen.ellipse((x - r, y - r * 1.3, x + r, y + r * 1.3), fill=color(rng, 120))
    for eye in (x - r * 0.4, x + r * 0.4):
        pen.ellipse((eye - 5, y - 12, eye + 5, y - 2), fill="black")
    pen.arc((x - r * 0.5, y + r * 0.2, x + r * 0.5, y + r * 0.7), 10, 170, fill="black", width=3)
    return grain(image, rng)


def product(rng: Rng, w: int, h: int) -> Image.Image:
    """One thing that nearly fills a plain ground."""
    ground = 255 if rng.random() < 0.5 else int(rng.integers(225, 256))
    image, mask = Image.new("RGB", (w, h), (ground,) * 3), Image.new("L", (w, h))
    angles, reach = np.linspace(0, 2 * math.pi, 14)[:-1], rng.uniform(0.75, 1, 13)
    places = zip((np.cos(angles) * reach).tolist(), (np.sin(angles) * reach).tolist(), strict=True)
    outline = [(w / 2 + w * 0.47 * x, h / 2 + h * 0.47 * y) for x, y in places]
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    image.paste(texture(rng, w, h), (0, 0), mask)
    return image


def page(rng: Rng, w: int, h: int) -> Image.Image:
    """Lines of dark words on paper."""
    image = Image.new("RGB", (w, h), color(rng, 225, 256))
    pen, face = ImageDraw.Draw(image), ImageFont.load_default(14)
    for y in range(12, h - 20, 18):
        x = 10
        while x < w - 40:
            word = "".join(rng.choice(list("abcdefghilmnoprstu"), int(rng.integers(2, 9))))
            pen.text((x, y), word, fill=(30, 30, 40), font=face)
            x += int(pen.textlength(word, face)) + 8
    return image


def city(rng: Rng, w: int, h: int) -> Image.Image:
    image = gradient(rng, w, h)
    pen, x = ImageDraw.Draw(image), 0
    while x < w:
        width, top = int(rng.integers(25, 60)), int(rng.uniform(0.15, 0.7) * h)
        pen.rectangle((x, top, x + width, h), fill=color(rng, 20, 140))
        for wy in range(top + 6, h, 14):
            for wx in range(x + 5, x + width - 6, 11):
                pen.rectangle((wx, wy, wx + 5, wy + 7), fill=color(rng, 60, 256))
        x += width + int(rng.integers(0, 8))
    return grain(image, rng, 3)


def pattern(rng: Rng, w: int, h: int) -> Image.Image:
    ys, xs = np.mgrid[0:h, 0:w]
    angle, pitch = rng.uniform(0, math.pi), rng.uniform(8, 40)
    wave = np.sin((xs * math.cos(angle) + ys * math.sin(angle)) * 2 * math.pi / pitch)
    if rng.random() < 0.5:
        wave = wave * np.sin((ys * math.cos(angle) - xs * math.sin(angle)) * 2 * math.pi / pitch)
    one, two = np.array(color(rng, 10, 110), np.float64), np.array(color(rng, 150, 246), np.float64)
    return Image.fromarray((one + (two - one) * (wave[..., None] > 0)).astype(np.uint8))


def bokeh(rng: Rng, w: int, h: int) -> Image.Image:
    """A sharp thing before a blurred ground."""
    image = noise(rng, 7, w, h).filter(ImageFilter.GaussianBlur(10))
    thing = texture(rng, w // 2, h // 2)
    mask = Image.new("L", thing.size)
    ImageDraw.Draw(mask).ellipse((0, 0, *thing.size), fill=255)
    image.paste(thing, (int(rng.uniform(0, w / 2)), int(rng.uniform(0, h / 2))), mask)
    return image


def night(rng: Rng, w: int, h: int) -> Image.Image:
    image = grain(Image.new("RGB", (w, h), (8, 8, 20)), rng, 3)
    pen = ImageDraw.Draw(image)
    for _ in range(120):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.5, 2.5)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=color(rng, 160, 256))
    return image


def drawing(rng: Rng, w: int, h: int) -> Image.Image:
    image = Image.new("RGB", (w, h), color(rng, 180, 256))
    pen = ImageDraw.Draw(image)
    for _ in range(14):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(10, 70)
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x - r, y - r * 0.8, x + r, y + r * 0.8), fill=color(rng), outline="black")
    return image


KINDS: tuple[Draw, ...] = (
    texture,
    landscape,
    sea,
    portrait,
    product,
    page,
    city,
    pattern,
    bokeh,
    night,
    drawing,
)


def clean(number: int, kinds: tuple[Draw, ...] = KINDS) -> Image.Image:
    """The clean picture with a number: one of the kinds, of any size."""
    rng = np.random.default_rng([7, number])
    width, height = (int(side) for side in rng.integers(180, 420, 2))
    return kinds[number % len(kinds)](rng, width, height)


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
