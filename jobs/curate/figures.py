"""The figures a curation stage publishes with its manifest: pure functions of its catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from jobs.curate.stage import kept_rows

_MEASURES = (
    "width",
    "height",
    "bytes",
    "entropy",
    "sharpness",
    "contrast",
    "colourfulness",
    "border",
    "frame",
)


def scored_figures(catalogue: pa.Table) -> dict[str, Any]:
    """Quantiles of the decodable pictures' measures, for those who choose thresholds."""
    return {"quantiles": _measures(kept_rows(catalogue))}


def filtered_figures(catalogue: pa.Table) -> dict[str, Any]:
    """Quantiles of the kept pictures' measures, and how many have a caption."""
    kept = kept_rows(catalogue)
    return {
        "kept_bytes": sum(kept["bytes"].to_pylist()),
        "with_caption": len(kept) - kept["caption"].null_count,
        "quantiles": _measures(kept),
    }


def selected_figures(catalogue: pa.Table) -> dict[str, Any]:
    """Quantiles of the kept pictures' aesthetic scores."""
    kept = kept_rows(catalogue)
    return {"aesthetic": quantiles(kept["aesthetic"]) if len(kept) else {}}


def captioned_figures(kept: pa.Table, units: int) -> dict[str, Any]:
    """Size of the curated set, and quantiles of its captions' lengths in characters."""
    lengths = pa.array([len(text) for text in kept["text"].to_pylist()], pa.int64())
    return {
        "units": units,
        "media_bytes": sum(kept["bytes"].to_pylist()),
        "caption_characters": quantiles(lengths) if len(kept) else {},
    }


def quantiles(column: Any) -> dict[str, float]:
    """Smallest, tenths, middle and largest of a column that is not empty."""
    values = np.asarray(column.to_numpy(), np.float64)
    names = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
    return {name: round(float(np.quantile(values, q)), 4) for name, q in names.items()}


def _measures(kept: pa.Table) -> dict[str, Any]:
    return {name: quantiles(kept[name]) for name in _MEASURES} if len(kept) else {}
