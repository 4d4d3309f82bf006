"""What the processes of a training stage are told, and the model they start from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from infra.errors import UserError
from infra.job import JobSpec
from jobs.models import load_tokenizer, load_transformer, new_transformer
from jobs.specs import TrainSettings
from model.transformer.model import NextScaleTransformer


@dataclass(frozen=True)
class TrainTask:
    """One stage: where its packs are, what it starts from, where it publishes."""

    output: str
    seed: int
    packs: tuple[str, ...]
    tokenizer: str
    previous: str | None
    settings: TrainSettings


def task_of(spec: JobSpec[TrainSettings]) -> TrainTask:
    """The task behind a job's spec.

    Raises:
        UserError: an input that a stage needs is not given.
    """
    stage = spec.settings.stage_name
    packs = _inputs(spec, f"packs/{stage}")
    tokenizer = _inputs(spec, "tokenizer/")
    previous = _inputs(spec, "training/")
    if not packs or not tokenizer:
        raise UserError("a stage needs packs and a tokenizer", f"training of {stage!r}", "Make them first")
    return TrainTask(
        spec.output, spec.seed, packs, tokenizer[0], previous[0] if previous else None, spec.settings
    )


def start_model(task: TrainTask) -> NextScaleTransformer:
    """The previous stage's model; for the first stage the recipe's, with the tokenizer's codebook.

    Raises:
        UserError: the recipe names a model or a text tokenizer that there is not.
    """
    model = load_transformer(task.previous) if task.previous else _fresh_model(task)
    if task.settings.stage.trainable == "new":
        model.requires_grad_(False)
        for parameter in model.new_parameters().values():
            parameter.requires_grad_(True)
    model.model.set_checkpointing(task.settings.stage.gradient_checkpointing)
    return model.train()


def _fresh_model(task: TrainTask) -> NextScaleTransformer:
    tokenizer = load_tokenizer(task.tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        return new_transformer(task.settings.model, tokenizer)


def _inputs(spec: JobSpec[TrainSettings], prefix: str) -> tuple[str, ...]:
    return tuple(
        folder for name in sorted(spec.inputs) if name.startswith(prefix) for folder in spec.inputs[name]
    )
