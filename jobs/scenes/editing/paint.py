"""Other ways to draw a scene: in another light, as outlines, without colours, inverted, with a word on it.

For each there is a rule that says of which scenes it leaves a picture that can still be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFont

from jobs.scenes.draw import draw, place
from jobs.scenes.world import BACKGROUNDS, COLORS, RGB, Scene

Filter = Callable[[RGB], RGB]

CONTRAST = 80.0
"""Euclidean RGB distance from the background at which a shape is clearly to be seen."""

LIGHTS: dict[str, Callable[[float], float]] = {
    "third": lambda v: v * 2 / 3,
    "half": lambda v: v / 2,
    "double": lambda v: min(255.0, 2 * v),
    "fade": lambda v: (v + 255) / 2,
}
"""What becomes of every channel of every pixel: a third darker, half, twice as bright, halfway to white."""

_LINE = 0.05
"""Width of outlines, as a share of the picture's side."""
_HOLLOW_FROM = {"star": 0.4, "cross": 0.3}
"""Sides of shapes with narrow arms from which an outline leaves something empty inside."""
_TEXT_HEIGHT, _TEXT_WIDTH = 0.24, 0.8
_STROKE = 0.008
"""By how much letters are made bolder, as a share of the picture's side."""
_REFERENCE = 256
_MOST_COVER = 0.45


def lit(light: str) -> Filter:
    """What a light makes of a colour."""
    change = LIGHTS[light]
    return lambda color: _round(tuple(change(v) for v in color))


def gray(color: RGB) -> RGB:
    """The grey of the same luma (ITU-R BT.601)."""
    luma = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    return _round((luma, luma, luma))


def inverted(color: RGB) -> RGB:
    """The negative of a colour."""
    return _round(tuple(255 - v for v in color))


def stays_clear(scene: Scene, change: Filter) -> bool:
    """Whether every shape is clearly to be seen when all colours change so.

    Colours that a change brings close to another background's are told from the ground by their area.
    """
    ground = change(BACKGROUNDS[scene.background])
    covered = sum(s.side**2 for s in scene.shapes)
    distances = (math.dist(change(COLORS[s.color]), ground) for s in scene.shapes)
    return covered < _MOST_COVER and min(distances) >= CONTRAST


def is_visible(color: str, background: str) -> bool:
    """Whether one colour is clearly to be seen on another, by their names."""
    palette = BACKGROUNDS | COLORS
    return math.dist(palette[color], palette[background]) >= CONTRAST


def is_hollow(scene: Scene) -> bool:
    """Whether outlines of all shapes are empty inside, so that they are no filled shapes."""
    return all(s.side >= _HOLLOW_FROM.get(s.kind, 0) for s in scene.shapes)


def name_of(color: RGB) -> str:
    """The colour's name: that of the nearest colour of the world, backgrounds included."""
    palette = BACKGROUNDS | COLORS
    return min(palette, key=lambda name: math.dist(palette[name], color))


def shape_color(color: RGB) -> str:
    """The name of the nearest colour that shapes have."""
    return min(COLORS, key=lambda name: math.dist(COLORS[name], color))


def draw_lit(scene: Scene, size: int, light: str) -> Image.Image:
    """The scene in one of LIGHTS."""
    table = [round(LIGHTS[light](v)) for v in range(256)]
    return draw(scene, size).point(table * 3)


def draw_gray(scene: Scene, size: int) -> Image.Image:
    """The scene without colours."""
    return draw(scene, size).convert("L").convert("RGB")


def draw_inverted(scene: Scene, size: int) -> Image.Image:
    """The negative of the scene."""
    return draw(scene, size).point([255 - v for v in range(256)] * 3)


def draw_outlines(scene: Scene, size: int) -> Image.Image:
    """The outlines of the shapes, each in its colour."""
    factor = 8 if size <= 256 else 4
    side = size * factor
    canvas = Image.new("RGB", (side, side), BACKGROUNDS[scene.background])
    for shape in scene.shapes:
        corners = place(shape.kind, shape.x, shape.y, shape.side, side)
        inside, line = Image.new("1", canvas.size), Image.new("1", canvas.size)
        ImageDraw.Draw(inside).polygon(corners, fill=1)
        ImageDraw.Draw(line).line([*corners, *corners[:2]], 1, round(2 * _LINE * side), joint="curve")
        canvas.paste(COLORS[shape.color], mask=ImageChops.logical_and(inside, line))
    return canvas.reduce(factor)


@dataclass(frozen=True)
class Lettering:
    """A word in a picture, centred at (x, y) in shares of its side."""

    word: str
    color: str
    x: float
    y: float

    @property
    def box(self) -> tuple[float, float]:
        """Width and height, as shares of the picture's side."""
        left, top, right, bottom = self.face(_REFERENCE).getbbox(self.word, anchor="mm")
        return (right - left) / _REFERENCE + 2 * _STROKE, (bottom - top) / _REFERENCE + 2 * _STROKE

    def face(self, size: int) -> ImageFont.FreeTypeFont:
        """Pillow's own font, as large as fits a picture of this side."""
        face = _face(_TEXT_HEIGHT * size)
        return _face(_TEXT_HEIGHT * size * min(1, _TEXT_WIDTH * size / face.getlength(self.word)))


def draw_with_text(scene: Scene, size: int, text: Lettering) -> Image.Image:
    """The scene with a word on it."""
    picture = draw(scene, size)
    factor = 4
    layer = Image.new("L", (size * factor, size * factor))
    face = text.face(size * factor)
    at = (text.x * size * factor, text.y * size * factor)
    stroke = round(_STROKE * size * factor)
    ImageDraw.Draw(layer).text(at, text.word, 255, face, anchor="mm", stroke_width=stroke)
    picture.paste((BACKGROUNDS | COLORS)[text.color], mask=layer.reduce(factor))
    return picture


def _face(size: float) -> ImageFont.FreeTypeFont:
    face = ImageFont.load_default(size)
    assert isinstance(face, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return face


def _round(color: tuple[float, ...]) -> RGB:
    red, green, blue = (round(v) for v in color)
    return red, green, blue
