"""What a finished training publishes: the folder a model wrote, its curves, and the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra import storage
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, read_table
from infra.reporter import Reporter
from jobs.pictures.charts import loss_curves
from jobs.train.metrics import Row, curves, first_and_last, loss_names, to_rows

UNIT = "training"
"""Name of a training's one receipt."""

METRICS = "data/metrics.parquet"
"""What it measured at each step."""


def publish_folder(output: Output, folder: str, name: str) -> list[FileEntry]:
    """Publish the files of a local folder under `name/`, in alphabetical order."""
    return [
        output.publish(f"{name}/{path.name}", path.read_bytes()) for path in sorted(Path(folder).iterdir())
    ]


def read_rows(folder: str) -> list[Row]:
    """The measurements of a finished training."""
    return to_rows(read_table(storage.join(folder, METRICS)))


def commit_training(
    spec: JobSpec[Any], report: Reporter, rows: Sequence[Row], chart: bytes, **figures: Any
) -> Manifest:
    """Publish the manifest of a training that has its receipt, with the chart of its losses.

    `figures` stand in the manifest beside the receipt's, the steps, and each loss at the beginning and end.
    """
    output = Output(spec.output)
    receipt = output.receipts()[UNIT]
    output.picture("loss", chart)
    for name, uri in output.pictures().items():
        report.picture(name, uri)
    measured = {"steps": len(rows)} | figures | first_and_last(rows, loss_names(rows))
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=receipt.files,
            counts=receipt.counts,
            metadata=measured | receipt.metadata,
        )
    )


def chart_losses(rows: Sequence[Row], title: str, unit: str) -> bytes:
    """A PNG of every loss over the steps."""
    steps = [int(row["step"]) for row in rows]
    return loss_curves(steps, curves(rows, loss_names(rows)), title=title, unit=unit)
