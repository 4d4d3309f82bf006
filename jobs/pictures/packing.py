"""Charts of packs: how full they are, and what other ways to pack would be worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from jobs.pictures.charts import number
from jobs.pictures.style import BLUE, GREEN, INK, LINES, ORANGE, dress, figure_png, new_figure

_WIDTH = 7.6

_NAMES = {
    "batch_padding": "batch padding",
    "padding_to_cap": "padding up to the cap",
    "fixed_length": "fixed length",
    "fixed_budget": "fixed budget (paper)",
    "balanced": "balanced",
}

Floats = npt.NDArray[np.float64]


def pack_fill(
    tokens: npt.ArrayLike,
    costs: npt.ArrayLike,
    max_tokens: int,
    budget: float,
    title: str = "How full the packs are",
) -> bytes:
    """Two histograms over packs: tokens of the cap used, and compute of the budget used."""
    figure = new_figure(_WIDTH, 3.2)
    left, right = figure.subplots(1, 2, sharey=True)
    _histogram(left, np.asarray(tokens) / max_tokens, f"tokens, of {max_tokens:,}", BLUE)
    _histogram(right, np.asarray(costs) / budget, f"compute, of {number(budget)} FLOPs", ORANGE)
    left.set_ylabel("packs", fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure_png(figure)


def packer_bars(figures: Mapping[str, Mapping[str, float]], ranks: int) -> bytes:
    """Ways to pack the same documents, three measures each.

    Args:
        figures: by packer, `throughput` (relative to the paper's way), `balance` and `token_fill`.
        ranks: packs in a step.
    """
    figure = new_figure(_WIDTH, 3.2)
    panels = figure.subplots(1, 3, sharey=True)
    titles = {
        "throughput": ("tokens/s, simulated", GREEN),
        "balance": ("compute, mean / max", ORANGE),
        "token_fill": ("tokens, of the cap", BLUE),
    }
    for axes, (measure, (title, color)) in zip(panels, titles.items(), strict=True):
        values = [one[measure] for one in figures.values()]
        bars = axes.barh(range(len(values)), values, color=color, height=0.62)
        suffix = "×" if measure == "throughput" else ""
        axes.bar_label(bars, [f"{value:.3g}{suffix}" for value in values], padding=4, fontsize=9, color=INK)
        dress(axes, "")
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.margins(x=0.25)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
    panels[0].set_yticks(range(len(figures)), [_NAMES.get(name, name) for name in figures])
    panels[0].invert_yaxis()
    title = f"The same documents, packed otherwise; {ranks:,} packs a step"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return figure_png(figure)


def _histogram(axes: Axes, shares: Floats, label: str, color: str) -> None:
    top = max(1.0, float(shares.max(initial=0)))
    axes.hist(shares, bins=np.linspace(0, top, 26).tolist(), color=color)
    mean = f"{shares.mean():.1%} on average" if len(shares) else "no packs"
    dress(axes, "")
    axes.set_title(mean, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(label, fontsize=9)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(axis="y", color=LINES, linewidth=0.8)
