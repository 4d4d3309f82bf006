"""One look for every picture, and its PNG bytes."""

from __future__ import annotations

import functools
import io
import math
import warnings
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image, ImageFont

PAPER = "#ffffff"
INK = "#1f2933"
MUTED = "#6b7280"
LINES = "#e2e6eb"
BLUE = "#3568a8"
ORANGE = "#e08a2c"
GREEN = "#2e8b62"
RED = "#c8473f"

MAX_BYTES = 150_000
"""Pictures stay this small, to be stored with each output and shown in pages."""

_DPI = 100
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font that ships with matplotlib, `size` pixels high."""
    return ImageFont.truetype(_FONT, size)


def image_png(image: Image.Image) -> bytes:
    """Encode a picture within MAX_BYTES: smaller where needed. Its colours stay, for people judge by them."""
    data = _encode(image)
    if len(data) <= MAX_BYTES:
        return data
    scale = 0.95 * math.sqrt(MAX_BYTES / len(data))
    smaller = (int(image.width * scale), int(image.height * scale))
    return image_png(image.resize(smaller, Image.Resampling.LANCZOS))


def figure_png(figure: Figure) -> bytes:
    """Encode a chart: its pixels alone, without the software's name that matplotlib writes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names in a script the font lacks show as boxes
        figure.savefig(buffer, format="png")
    return image_png(Image.open(buffer).convert("RGB"))


def new_figure(width: float, height: float) -> Figure:
    """An empty chart, in inches, that belongs to no global state."""
    margins = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=PAPER, layout=margins)
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, title: str) -> None:
    """Give axes the common look: a title on the left, quiet lines, no box.

    Titles and names are of data, which may have dollar signs: matplotlib must not read mathematics there.
    """
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK, pad=10, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINES)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.set_axisbelow(True)


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
