"""The training job of one stage: packs in; a model, its measurements and their curves out."""

from __future__ import annotations

from typing import Any

from infra import storage
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt, read_table
from infra.reporter import Reporter
from jobs.pictures.charts import loss_curves
from jobs.specs import TrainSettings
from jobs.train.harness import run_loop
from jobs.train.metrics import Row, curves, first_and_last, loss_names, to_rows
from jobs.train.packs import PackReader
from jobs.train.task import TrainTask, task_of
from jobs.train.worker import UNIT, train


def run(spec: JobSpec[TrainSettings], report: Reporter) -> Manifest:
    """Train a stage. Killed and run again, it goes on from its last checkpoint to the same weights.

    Raises:
        UserError: there are fewer packs than workers, the loss is no longer finite, or the checkpoints
            found were written by another number of workers.
    """
    output = Output(spec.output)
    if UNIT not in output.receipts():
        task = task_of(spec)
        _check_packs(task)
        run_loop(train, task, spec.settings.stage.workers, spec.resources, spec.output, report)
    receipt = output.receipts()[UNIT]
    rows = to_rows(read_table(storage.join(spec.output, "data/metrics.parquet")))
    report.picture("loss", output.picture("loss", _chart(rows, spec.settings.stage_name)))
    return output.commit(_manifest(spec, receipt, rows))


def _check_packs(task: TrainTask) -> None:
    packs, stage = len(PackReader(list(task.packs))), task.settings.stage
    if packs < stage.workers:
        raise UserError(
            f"{packs} packs cannot feed {stage.workers} workers",
            f"training of {task.settings.stage_name!r}",
            "Add data, lower packing.max_tokens or lower workers",
        )


def _chart(rows: list[Row], stage: str) -> bytes:
    steps = [int(row["step"]) for row in rows]
    return loss_curves(steps, curves(rows, loss_names(rows)), title=f"Loss of stage {stage}")


def _manifest(spec: JobSpec[TrainSettings], receipt: Receipt, rows: list[Row]) -> Manifest:
    return Manifest(
        asset=spec.asset,
        partition=spec.partition,
        fingerprint=spec.fingerprint,
        files=receipt.files,
        counts=receipt.counts,
        metadata=_figures(spec, rows) | receipt.metadata,
    )


def _figures(spec: JobSpec[TrainSettings], rows: list[Row]) -> dict[str, Any]:
    figures = {"steps": len(rows), "tokens_seen": int(sum(row["tokens"] for row in rows))}
    names = {"text_tokenizer": spec.settings.model.text_tokenizer, "preset": spec.settings.model.preset}
    return figures | names | first_and_last(rows, loss_names(rows))
