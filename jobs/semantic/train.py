"""The semantic encoder's job: filtered pictures of all drops and their captions in; a SigLIP2 out."""

from __future__ import annotations

from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.semantic.pictures import Drop, find_captioned
from jobs.semantic.worker import SemanticTask, split, train
from jobs.specs import SemanticSettings
from jobs.train.harness import run_loop
from jobs.train.publish import UNIT, chart_losses, commit_training, read_rows
from model.tokenizer import TokenizerConfig

_LEAST_CAPTIONS = 2


def run(spec: JobSpec[SemanticSettings], report: Reporter) -> Manifest:
    """Train the encoder. Killed and run again, it goes on from its last checkpoint to the same weights.

    Raises:
        UserError: there are no captioned pictures to train on, the preset does not fit the pictures, or
            the loss is no longer finite.
    """
    output = Output(spec.output)
    if UNIT not in output.receipts():
        run_loop(train, _task(spec), 1, spec.resources, spec.output, report)
    rows = read_rows(spec.output)
    chart = chart_losses(rows, "Sigmoid loss of the semantic encoder", "loss")
    return commit_training(spec, report, rows, chart)


def _task(spec: JobSpec[SemanticSettings]) -> SemanticTask:
    """The task, checked before anything is loaded."""
    folders = zip(spec.inputs["t2i/filtered"], spec.inputs["t2i/scored"], strict=True)
    drops = tuple(Drop(filtered, scored) for filtered, scored in folders)
    task = SemanticTask(spec.output, spec.seed, drops, _config(spec.settings), spec.settings)
    found = find_captioned(drops, spec.settings.semantic.pictures)
    captions = found.rows["caption"].to_pylist()
    different = len({captions[number] for number in split(found)[0]})
    if different < _LEAST_CAPTIONS:
        raise UserError(
            f"pictures with {different} different captions are too few to train a semantic encoder",
            "training of the semantic encoder",
            "Add captioned pictures, or name a published encoder as tokenizer.semantic.pretrained",
        )
    return task


def _config(settings: SemanticSettings) -> TokenizerConfig:
    """The preset whose sizes the encoder has.

    Raises:
        UserError: there is none, or its patch does not divide the pictures' side.
    """
    try:
        config = TokenizerConfig.preset(settings.preset)
    except ValueError as error:
        raise UserError(str(error), "recipe, tokenizer.preset", "Correct the name") from error
    side = settings.semantic.side
    if side % config.stride:
        what = f"pictures of {side} pixels a side are no multiple of the preset's patch, {config.stride}"
        raise UserError(what, "recipe, tokenizer.semantic.side", "Change it to a multiple")
    return config
