"""Charts of what jobs count and measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from jobs.pictures.style import BLUE, GREEN, INK, LINES, MUTED, ORANGE, RED, dress, figure_png, new_figure

_WIDTH = 7.6
_MAX_BARS = 40
_MAX_NAME = 34
_MAX_REASONS = 4
_SMOOTH_FROM = 40


@dataclass(frozen=True)
class FunnelStage:
    """What one stage kept, and what it rejected for which reason."""

    name: str
    kept: int
    rejected: Mapping[str, int] = field(default_factory=dict)


def bar_chart(
    values: Mapping[str, float], title: str, unit: str = "", reference: Mapping[str, float] | None = None
) -> bytes:
    """A bar for each value, in the order given; `reference` marks a level on the bar of its name."""
    shown = dict(list(values.items())[:_MAX_BARS])
    more = f" (first {_MAX_BARS} of {len(values)})" if len(values) > _MAX_BARS else ""
    figure = new_figure(_WIDTH, 1.1 + 0.3 * max(1, len(shown)))
    axes = figure.add_subplot()
    bars = axes.barh(range(len(shown)), list(shown.values()), color=BLUE, height=0.64)
    axes.bar_label(bars, [number(value) for value in shown.values()], padding=5, fontsize=9, color=INK)
    _draw_references(axes, list(shown), reference or {})
    _name_rows(axes, list(shown))
    dress(axes, title + more)
    axes.set_xlabel(unit, fontsize=9)
    axes.margins(x=0.12)
    axes.grid(axis="x", color=LINES, linewidth=0.8)
    return figure_png(figure)


def funnel(stages: Sequence[FunnelStage], title: str = "What each stage kept") -> bytes:
    """A bar for each stage: kept, then rejected, with the most frequent reasons below it."""
    figure = new_figure(_WIDTH, 1.0 + 0.62 * max(1, len(stages)))
    axes = figure.add_subplot()
    kept = [stage.kept for stage in stages]
    rejected = [sum(stage.rejected.values()) for stage in stages]
    rows = range(len(stages))
    axes.barh(rows, kept, color=GREEN, height=0.42, label="kept")
    axes.barh(rows, rejected, left=kept, color=RED, alpha=0.55, height=0.42, label="rejected")
    widest = max([1, *(k + r for k, r in zip(kept, rejected, strict=True))])
    for row, stage in enumerate(stages):
        axes.text(
            kept[row] + rejected[row] + widest / 90,
            row,
            f"{stage.kept:,}",
            va="center",
            fontsize=10,
            color=INK,
        )
        axes.text(0, row + 0.26, _reasons(stage), va="top", fontsize=8, color=MUTED, parse_math=False)
    _name_rows(axes, [stage.name for stage in stages])
    dress(axes, title)
    axes.set_xlim(0, widest * 1.12)
    axes.set_ylim(max(1, len(stages)) - 0.35, -0.5)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    return figure_png(figure)


def code_use(counts: Sequence[int], title: str = "How often each code is used") -> bytes:
    """The uses of every code of a codebook, the most used first, on a logarithmic axis."""
    figure = new_figure(_WIDTH, 3.2)
    axes = figure.add_subplot()
    ranked = sorted(counts, reverse=True)
    used = sum(1 for count in counts if count)
    axes.fill_between(range(len(ranked)), ranked, step="mid", color=BLUE, linewidth=0)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    dress(axes, title)
    axes.set_xlabel(f"codes, most used first; {used:,} of {len(counts):,} are used", fontsize=9)
    axes.set_ylabel("uses", fontsize=9)
    return figure_png(figure)


def loss_curves(
    steps: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    title: str = "Loss",
    unit: str = "nats per token",
) -> bytes:
    """A line for each curve over the steps, from dark to bright in the order given; long ones smoothed.

    Raises:
        ValueError: a curve has not as many values as there are steps.
    """
    figure = new_figure(_WIDTH, 4.2)
    axes = figure.add_subplot()
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, max(1, len(curves))))
    for (name, values), color in zip(curves.items(), colors, strict=False):
        if len(values) != len(steps):
            raise ValueError(f"{len(values)} values of {name!r} for {len(steps)} steps")
        if len(values) >= _SMOOTH_FROM:
            axes.plot(steps, values, color=color, linewidth=0.8, alpha=0.25)
        axes.plot(steps, _smooth(values), color=color, linewidth=1.8, label=name)
    dress(axes, title)
    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel(unit, fontsize=9)
    axes.grid(color=LINES, linewidth=0.8)
    if curves:
        legend = figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=INK)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure_png(figure)


def _draw_references(axes: Axes, names: list[str], reference: Mapping[str, float]) -> None:
    marks = [(reference[name], row) for row, name in enumerate(names) if name in reference]
    if marks:
        levels, rows = zip(*marks, strict=True)
        axes.scatter(levels, rows, marker="|", s=240, linewidths=2.2, color=ORANGE, zorder=3)


def _name_rows(axes: Axes, names: list[str]) -> None:
    short = [name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…" for name in names]
    axes.set_yticks(range(len(short)), short, parse_math=False)
    axes.set_ylim(max(1, len(short)) - 0.4, -0.6)


def _reasons(stage: FunnelStage) -> str:
    """The most frequent reasons, in words."""
    ranked = sorted(
        ((n, reason) for reason, n in stage.rejected.items() if n), key=lambda pair: (-pair[0], pair[1])
    )
    if not ranked:
        return "nothing rejected"
    words = [f"{reason.replace('_', ' ')} {n:,}" for n, reason in ranked[:_MAX_REASONS]]
    rest = sum(n for n, _ in ranked[_MAX_REASONS:])
    return "rejected: " + ", ".join([*words, *([f"others {rest:,}"] if rest else [])])


def _smooth(values: Sequence[float]) -> list[float]:
    """A long curve as its mean over the nearest 5% of the steps on either side."""
    if len(values) < _SMOOTH_FROM:
        return list(values)
    reach = len(values) // 20
    return [_mean(values[max(0, at - reach) : at + reach + 1]) for at in range(len(values))]


def _mean(values: Sequence[float]) -> float:
    """The mean of the values that are known; steps without any text have no text loss."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def number(value: float) -> str:
    """A number for people: 12,345 or 0.873 or 1.2e+15."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.3g}"
