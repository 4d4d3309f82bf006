"""The tokenizer's training job: curated pictures of all drops in; a tokenizer and what it keeps out."""

from __future__ import annotations

from infra import storage
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_table
from infra.reporter import Reporter
from jobs.pictures.charts import loss_curves
from jobs.specs import TokenizerSettings
from jobs.tokenizer.pictures import find_pictures
from jobs.tokenizer.worker import UNIT, TokenizerTask, schedules_of, tokenizer_config, train
from jobs.train.harness import run_loop
from jobs.train.metrics import Row, curves, first_and_last, loss_names, to_rows

_LEAST_PICTURES = 2


def run(spec: JobSpec[TokenizerSettings], report: Reporter) -> Manifest:
    """Train the tokenizer. Killed and run again, it goes on from its last checkpoint to the same weights.

    Raises:
        UserError: there are no pictures to train on, the preset does not fit the level, or the loss is
            no longer finite.
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
    captioned = tuple(folder for name in sorted(spec.inputs) for folder in spec.inputs[name])
    task = TokenizerTask(spec.output, spec.seed, captioned, spec.settings)
    tokenizer_config(task)
    found = len(find_pictures(captioned, schedules_of(spec.settings)))
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
