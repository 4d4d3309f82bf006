"""The pictures people look at first: samples with their marks, and accuracy beside chance."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from infra import storage
from infra.manifest import Output
from jobs.evaluate.figures import figures
from jobs.pictures.charts import bar_chart
from jobs.pictures.sheets import SampleRow, sample_grid

Rows = Sequence[dict[str, Any]]


def show(output: Output, rows: Rows, stage: str) -> dict[str, str]:
    """Store a grid of samples for each kind of prompt and, where scored, a chart; name to URI."""
    found = {}
    for tag, mine in groupby(sorted(rows, key=_tag), key=_tag):
        group = list(mine)
        png = sample_grid(_grid_rows(output, group), title=_title(stage, tag, group))
        name = f"samples {tag.replace('_', ' ')}".strip()
        found[name] = output.picture(name.replace(" ", "-"), png)
    summary = figures(rows)
    if "accuracy" in summary:
        png = bar_chart(
            summary["accuracy"],
            f"{stage}: pictures that are what was asked for",
            unit="share of the pictures; marks: chance",
            reference=summary["chance"],
        )
        found["accuracy"] = output.picture("accuracy", png)
    return found


def _tag(row: dict[str, Any]) -> str:
    return row["tag"] or ""


def _title(stage: str, tag: str, rows: Rows) -> str:
    if not tag:
        return f"{stage}: {len(rows)} samples"
    right = sum(row["passed"] for row in rows)
    return f"{stage}, {tag.replace('_', ' ')}: {right} of {len(rows)} are what was asked for"


def _grid_rows(output: Output, rows: Rows) -> list[SampleRow]:
    """One row of the grid per prompt."""
    grid = []
    for _, samples in groupby(rows, key=lambda row: PurePosixPath(row["path"]).parent):
        mine = list(samples)
        images = [
            Image.open(io.BytesIO(storage.read_bytes(storage.join(output.uri, r["path"])))) for r in mine
        ]
        grid.append(SampleRow(mine[0]["prompt"], images, [row["passed"] for row in mine]))
    return grid
