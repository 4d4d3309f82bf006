"""The tokenizer's training job, one stage of three: curated pictures of all drops in; a tokenizer out."""

from __future__ import annotations

from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.specs import TokenizerSettings
from jobs.tokenizer.pictures import find_pictures
from jobs.tokenizer.task import CAPTIONED, TokenizerTask
from jobs.tokenizer.worker import train
from jobs.train.harness import run_loop
from jobs.train.publish import UNIT, chart_losses, commit_training, read_rows

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
    rows = read_rows(spec.output)
    chart = chart_losses(rows, "Loss of the tokenizer", "loss")
    return commit_training(spec, report, rows, chart)


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
