"""The training job of one stage: packs in; a model, its measurements and their curves out."""

from __future__ import annotations

from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import INPUTS, Manifest, Output, input_hashes
from infra.reporter import Reporter
from jobs.readers import PackReader
from jobs.specs import TrainSettings
from jobs.train.harness import run_loop
from jobs.train.publish import UNIT, chart_losses, commit_training, read_rows
from jobs.train.task import TrainTask, task_of
from jobs.train.worker import train


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
    rows = read_rows(spec.output)
    return commit_training(
        spec,
        report,
        rows,
        chart_losses(rows, f"Loss of stage {spec.settings.stage_name}", "nats per token"),
        tokens_seen=int(sum(row["tokens"] for row in rows)),
        text_tokenizer=spec.settings.model.text_tokenizer,
        preset=spec.settings.model.preset,
        pretrained=spec.settings.model.pretrained,
        **{INPUTS: input_hashes(spec.inputs)},
    )


def _check_packs(task: TrainTask) -> None:
    packs, stage = len(PackReader(list(task.packs))), task.settings.stage
    if packs < stage.workers:
        raise UserError(
            f"{packs} packs cannot feed {stage.workers} workers",
            f"training of {task.settings.stage_name!r}",
            "Add data, lower packing.max_tokens or lower workers",
        )
