"""Scenes into pixels: filled outlines, antialiased by drawing larger and averaging."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageDraw

from jobs.scenes.world import BACKGROUNDS, COLORS, Scene

MIN_SIZE = 32
MAX_SIZE = 1024

Point = tuple[float, float]


def outline(kind: str) -> list[Point]:
    """The corners of a kind of shape, clockwise, filling the box from (-0.5, -0.5) to (0.5, 0.5)."""
    return _OUTLINES[kind]


def draw(scene: Scene, size: int) -> Image.Image:
    """Draw a scene as an RGB picture of size x size pixels.

    Raises:
        ValueError: the size is not within 32..1024.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size {size} is not within {MIN_SIZE}..{MAX_SIZE}")
    factor = 8 if size <= 256 else 4
    canvas = Image.new("RGB", (size * factor, size * factor), BACKGROUNDS[scene.background])
    pen = ImageDraw.Draw(canvas)
    for shape in scene.shapes:
        corners = place(shape.kind, shape.x, shape.y, shape.side, size * factor)
        pen.polygon(corners, fill=COLORS[shape.color])
    return canvas.reduce(factor)


def place(kind: str, x: float, y: float, side: float, pixels: int) -> list[Point]:
    """The corners of a shape in pixels; x, y, side are shares of a picture of `pixels` per side."""
    return [((x + side * u) * pixels - 0.5, (y + side * v) * pixels - 0.5) for u, v in outline(kind)]


def png_bytes(image: Image.Image) -> bytes:
    """Encode as PNG; equal pictures give equal bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _ring(corners: int, radii: tuple[float, ...]) -> list[Point]:
    """Corners on circles around the centre, the first one on top, stretched to fill the unit box."""
    angles = [2 * math.pi * n / corners for n in range(corners)]
    points = [
        (radii[n % len(radii)] * math.sin(a), -radii[n % len(radii)] * math.cos(a))
        for n, a in enumerate(angles)
    ]
    return _fill_box(points)


def _fill_box(points: list[Point]) -> list[Point]:
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    return [((x - left) / (right - left) - 0.5, (y - top) / (bottom - top) - 0.5) for x, y in points]


_ARM = 1 / 6
_OUTLINES: dict[str, list[Point]] = {
    "circle": _ring(180, (1.0,)),
    "square": [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)],
    "triangle": [(0.0, -0.5), (0.5, 0.5), (-0.5, 0.5)],
    "star": _ring(10, (1.0, 0.4)),
    "cross": [
        (-_ARM, -0.5),
        (_ARM, -0.5),
        (_ARM, -_ARM),
        (0.5, -_ARM),
        (0.5, _ARM),
        (_ARM, _ARM),
        (_ARM, 0.5),
        (-_ARM, 0.5),
        (-_ARM, _ARM),
        (-0.5, _ARM),
        (-0.5, -_ARM),
        (-_ARM, -_ARM),
    ],
}
