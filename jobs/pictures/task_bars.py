"""Shares of tasks before and after a mix, against its target."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.ticker import PercentFormatter

from jobs.pictures.style import BLUE, INK, LINES, MUTED, ORANGE, PAPER, dress, figure_png, new_figure

_WIDTH, _BAR = 7.6, 0.36
_NO_COLOUR = "#c3cad3"


def task_bars(
    before: Mapping[str, int], after: Mapping[str, int], target: Mapping[str, float], title: str
) -> bytes:
    """Two bars for each task, its share before and after, with a mark at its share in the target.

    Args:
        before: edits of each task that there were.
        after: those that stay.
        target: shares, which sum to 1.
        title: over the chart.
    """
    tasks = sorted(before, key=lambda task: (-before[task], task))
    figure = new_figure(_WIDTH, 1.4 + 0.42 * max(1, len(tasks)))
    axes = figure.add_subplot()
    for counts, offset, color, name in (
        (before, -_BAR / 2, _NO_COLOUR, "before"),
        (after, _BAR / 2, BLUE, "after"),
    ):
        total = max(1, sum(counts.values()))
        shares = [counts.get(task, 0) / total for task in tasks]
        bars = axes.barh([row + offset for row in range(len(tasks))], shares, _BAR, color=color, label=name)
        numbers = [f"{counts.get(task, 0):,}" for task in tasks]
        color = INK if name == "after" else MUTED
        box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
        axes.bar_label(bars, numbers, padding=6, fontsize=8, color=color, bbox=box, zorder=4)
    levels = [target.get(task, 0.0) for task in tasks]
    axes.scatter(
        levels, range(len(tasks)), marker="|", s=520, linewidths=2.2, color=ORANGE, zorder=3, label="target"
    )
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set_ylim(max(1, len(tasks)) - 0.4, -0.6)
    dress(axes, title)
    axes.set_xlabel("share of the edits; numbers are edits", fontsize=9)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.margins(x=0.1)
    axes.grid(axis="x", color=LINES, linewidth=0.8)
    figure.legend(loc="outside lower right", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    return figure_png(figure)
