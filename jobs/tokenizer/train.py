"""The tokenizer's training job, one stage of three: curated pictures of all drops in; a tokenizer out."""

from __future__ import annotations

from infra import storage
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_table
from infra.reporter import Reporter
from jobs.pictures.charts import loss_curves
from jobs.specs import TokenizerSettings
from jobs.tokenizer.pictures import find_pictures
from jobs.tokenizer.task import CAPTIONED, TokenizerTask
from jobs.tokenizer.worker import UNIT, train
from jobs.train.harness import run_loop
from jobs.train.metrics import Row, curves, first_and_last, loss_names, to_rows

_LEAST_PICTURES = 2


def run(spec: JobSpec[TokenizerSettings], report: Reporter) -> Manifest:
    """Train one stage. Killed and run again, it goes on from its last checkpoint to the same weights.

    Raises:
        UserError: there are no pictures to train on, the preset does not fit the level, weights it starts
            from cannot be loaded, or the loss is no longer finite.
    """
    output = Output(spec.output)
    if UNIT not in output.receipts():
        task = _task(spec)
        run_loop(train, task, spec.settings.tokenizer.workers, spec.resources, spec.output, report)
    receipt = output.receipts()[UNIT]
    rows = to_rows(read_table(storage.join(spec.output, "data/metrics.parquet")))
    output.picture("loss", _chart(rows))
    for name, uri in output.pictures().items():
        report.picture(name, uri)
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=receipt.files,
            counts=receipt.counts,
            metadata={"steps": len(rows)} | first_and_last(rows, loss_names(rows)) | receipt.metadata,
        )
    )


def _task(spec: JobSpec[TokenizerSettings]) -> TokenizerTask:
    """The task of every process, checked before any is started."""
    task = TokenizerTask(spec.output, spec.seed, spec.inputs, spec.settings)
    task.config()
    found = len(find_pictures(spec.inputs[CAPTIONED], task.schedules))
    if found < _LEAST_PICTURES:
        raise UserError(
            f"{found} curated pictures are too few to train and measure a tokenizer",
            "training of the tokenizer",
            "Add pictures, or see in the catalogues why curation rejected them",
        )
    return task


def _chart(rows: list[Row]) -> bytes:
    steps = [int(row["step"]) for row in rows]
    return loss_curves(steps, curves(rows, loss_names(rows)), title="Loss of the tokenizer", unit="loss")
