"""Checks of a training stage: it measured every step, learnt, and what it saved can be gone on from."""

from __future__ import annotations

import json
import re

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.checks import Check, Published, Verdict, no_problems
from infra import storage

METRICS = "data/metrics.parquet"
COARSE_SCALES = 3
"""Scales whose loss shows whether the model learns the layout of pictures."""

TOLERANCE = 0.02
"""Share by which the coarse scales' loss may rise over a stage, which may begin well trained."""

STANDARD_ERRORS = 3.0
"""Of the difference of both means, by which it may rise too: steps see different pictures."""

_SCALE = re.compile(r"loss/scale_(\d+)")


def _finite(output: Published) -> Verdict:
    table = output.table(METRICS)
    steps = output.settings.stage.steps
    problems = []
    if table["step"].to_pylist() != list(range(1, steps + 1)):
        problems.append(f"{len(table)} steps are measured, the recipe says {steps}")
    for name in table.column_names:
        values = _values(table, name)
        if not np.isfinite(values).all():
            problems.append(
                f"{name} is not finite at {int((~np.isfinite(values)).sum())} of {len(values)} steps"
            )
    return no_problems(problems, f"every measurement of {len(table)} steps is finite", steps=len(table))


def _coarse_loss(output: Published) -> Verdict:
    table = output.table(METRICS)
    names = sorted((name for name in table.column_names if _SCALE.fullmatch(name)), key=_scale)[
        :COARSE_SCALES
    ]
    if not names:
        return Verdict(False, "no loss per scale is measured")
    window = max(1, len(table) // 4)
    loss = np.mean([_values(table, name) for name in names], axis=0)
    first, last = float(loss[:window].mean()), float(loss[-window:].mean())
    noise = float(np.sqrt((loss[:window].var() + loss[-window:].var()) / window))
    passed = last - first <= max(TOLERANCE * first, STANDARD_ERRORS * noise)
    why = f"loss of the {len(names)} coarsest scales: {first:.4f} in the first quarter, {last:.4f} at the end"
    return Verdict(passed, why, {"first": str(first), "last": str(last)})


def _values(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """A column's measurements; steps without one are left out, those that are NaN stay."""
    return np.array([value for value in table[name].to_pylist() if value is not None], np.float64)


def _scale(name: str) -> int:
    return int(name.removeprefix("loss/scale_"))


def _usable(output: Published) -> Verdict:
    """The published model is complete: each weight file's header agrees with its size."""
    names = output.manifest.paths(".safetensors")
    problems = [] if names else ["no weights are published"]
    problems += [problem for name in names for problem in _weights_problems(output, name)]
    if not output.manifest.paths("config.json"):
        problems.append("no config.json is published")
    return no_problems(problems, f"{len(names)} weight file(s), complete", files=len(names))


def _weights_problems(output: Published, path: str) -> list[str]:
    uri = storage.join(output.folder, path)
    size = storage.file_info(uri).bytes
    length = int.from_bytes(storage.read_range(uri, 0, 8), "little")
    if 8 + length > size:
        return [f"{path}: its header is cut off"]
    header = json.loads(storage.read_range(uri, 8, length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    if not ends or 8 + length + max(ends) != size:
        return [f"{path}: {size} bytes, its header says {8 + length + max(ends, default=0)}"]
    return []


FINITE = Check("loss_finite", "Every step is measured and every measurement is finite.", _finite)
COARSE_LOSS = Check("coarse_loss", "The coarse scales' loss does not rise over the stage.", _coarse_loss)
RESUMABLE = Check("resumable", "The next stage can start from the published weights.", _usable)
