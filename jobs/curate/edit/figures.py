"""The figures that the stages of edits publish with their manifests: pure functions of their catalogues."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.curate.stage import kept_rows

_MEASURES = ("changed", "ssim", "psnr", "hash_distance")


def scored_figures(catalogue: pa.Table) -> dict[str, Any]:
    """Quantiles of the measures of decodable edits, and how many there are of each subset."""
    kept = kept_rows(catalogue)
    return {
        "subsets": dict(sorted(Counter(kept["subset"].to_pylist()).items())),
        "quantiles": {
            name: _quantiles(kept[name]) for name in _MEASURES if kept[name].null_count < len(kept)
        },
    }


def judged_figures(catalogue: pa.Table) -> dict[str, Any]:
    """How many edits there are of each task, from whom the tasks are known, and the scores."""
    kept = kept_rows(catalogue)
    counts = {name: Counter(kept[name].to_pylist()) for name in ("task", "task_by", "score")}
    return {f"{name}s": {str(key): n for key, n in sorted(found.items())} for name, found in counts.items()}


def _quantiles(column: Any) -> dict[str, float]:
    values = np.asarray(column.drop_null().to_numpy(), np.float64)
    names = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
    return {name: round(float(np.quantile(values, q)), 4) for name, q in names.items()}
