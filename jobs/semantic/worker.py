"""The loop that trains the semantic encoder with the sigmoid loss (SigLIP, arXiv 2303.15343).

Shapes: B batch, N pictures, H W pixels, T positions of a text, D width of an embedding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn
from transformers import Siglip2Model

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.manifest import Output, Receipt
from jobs.models import load_text
from jobs.semantic.batches import batches
from jobs.semantic.encoder import TrainedOn
from jobs.semantic.evaluate import evaluate, sigmoid_loss
from jobs.semantic.pictures import Captioned, Drop, find_captioned, read_pairs
from jobs.specs import SemanticSettings
from jobs.tokenizer.batches import hold_out
from jobs.train.checkpoints import Checkpoints
from jobs.train.metrics import Row, live_figures, to_rows, to_table
from jobs.train.publish import METRICS, UNIT, publish_folder
from jobs.train.schedule import learning_rate
from jobs.train.world import World
from model.semantic import (
    CONTEXT,
    embed_images,
    embed_texts,
    new_semantic_encoder,
    save_semantic_encoder,
    start_from_data,
)
from model.tokenizer import TokenizerConfig

MOMENTUM = 0.95
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 1e-4
GRADIENT_CLIP = 1.0
FINAL_LEARNING_RATE = 0.0
"""After the last step, as a share of the peak."""


@dataclass(frozen=True)
class SemanticTask:
    """Where the filtered pictures are, and how to train on them."""

    output: str
    seed: int
    drops: tuple[Drop, ...]
    config: TokenizerConfig
    settings: SemanticSettings


def train(world: World, task: SemanticTask) -> UserError | None:
    """Train from the newest checkpoint to the end, then measure and publish.

    Returns:
        An error if the loss is no longer finite.
    """
    trainer = _Trainer(world, task)
    rows = trainer.start()
    settings = task.settings.semantic
    watch = time.monotonic()
    for step, numbers in enumerate(trainer.batches(len(rows)), start=len(rows)):
        row = trainer.step(step, numbers)
        if not math.isfinite(row["loss"]) or not math.isfinite(row["gradient_norm"]):
            what = f"the loss is not finite at step {step + 1}"
            return UserError(what, "training of the semantic encoder", "Lower learning_rate")
        rows.append(row)
        seconds, watch = time.monotonic() - watch, time.monotonic()
        figures = live_figures(row) | {"pictures_per_second": len(numbers) / seconds}
        world.tell(step + 1, settings.steps, figures)
        if (step + 1) % settings.checkpoint_every == 0 and step + 1 < settings.steps:
            trainer.save(step + 1, rows)
    trainer.publish(rows)
    return None


def split(found: Captioned) -> tuple[list[int], list[int]]:
    """Numbers of the rows to train on, and of those held out."""
    return hold_out(found.rows["sample_id"].to_pylist())


class _Trainer:
    """The parts of the training; a single process does it all."""

    def __init__(self, world: World, task: SemanticTask) -> None:
        self._world, self._task, self._settings = world, task, task.settings.semantic
        self._found = find_captioned(task.drops, self._settings.pictures)
        text = load_text(task.settings.text_tokenizer)
        pairs = read_pairs(self._found.rows, self._settings.side, text)
        trained, held_out = split(self._found)
        self._trained, self._held_out = pairs.select(trained), pairs.select(held_out)
        self._encoder: Siglip2Model = new_semantic_encoder(task.config, text, task.seed).train()
        first = next(self.batches(0))
        start_from_data(self._encoder, self._trained.images(first), self._trained.ids_NT[first])
        self._encoder.to(world.device)
        self._optimizers = _optimizers(self._encoder, self._settings.learning_rate)
        folder = storage.join(task.output, "checkpoints")
        self._checkpoints = Checkpoints(folder, world, {"workers": world.size})

    def start(self) -> list[Row]:
        """Go back to the newest checkpoint, if there is one; the measurements so far."""
        steps = self._checkpoints.steps()
        if not steps:
            return []
        state = self._checkpoints.load(steps[-1], rank=0)
        self._encoder.load_state_dict(state["encoder"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return to_rows(self._checkpoints.metrics(steps[-1]))

    def batches(self, done: int) -> Iterator[list[int]]:
        """The batches of the steps after the first `done`."""
        captions = self._trained.captions
        size = min(self._settings.batch_size, len(set(captions)))
        return islice(batches(captions, size, self._task.seed), done, self._settings.steps)

    def step(self, step: int, numbers: Sequence[int]) -> Row:
        """One update; what it measured."""
        s = self._settings
        rate = learning_rate(step, s.steps, s.learning_rate, s.warmup_steps, FINAL_LEARNING_RATE)
        for group in (group for optimizer in self._optimizers for group in optimizer.param_groups):
            group["lr"] = rate
        images_BD = embed_images(self._encoder, self._trained.images(numbers).to(self._world.device))
        texts_BD = embed_texts(self._encoder, self._trained.ids_NT[numbers].to(self._world.device))
        loss = sigmoid_loss(self._encoder, images_BD, texts_BD)
        self._encoder.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self._encoder.parameters(), GRADIENT_CLIP)
        for optimizer in self._optimizers:
            optimizer.step()
        return {"step": step + 1, "learning_rate": rate, "gradient_norm": float(norm), "loss": loss.item()}

    def save(self, step: int, rows: list[Row]) -> None:
        """A checkpoint after `step` steps."""
        optimizers = [optimizer.state_dict() for optimizer in self._optimizers]
        state = {"encoder": self._encoder.state_dict(), "optimizers": optimizers}
        self._checkpoints.save(step, state, to_table(rows))

    def publish(self, rows: list[Row]) -> None:
        """Measure and publish, the receipt last."""
        output = Output(self._task.output)
        self._encoder.eval()
        with TemporaryDirectory() as folder:
            save_semantic_encoder(self._encoder, folder)
            self._trained_on().save(Path(folder))
            files = publish_folder(output, folder, "model")
        metrics = output.publish_table(METRICS, to_table(rows))
        first = {caption: n for n, caption in reversed(list(enumerate(self._held_out.captions)))}
        figures = evaluate(self._encoder, self._held_out.select(sorted(first.values())), output)
        figures["parameters"] = sum(p.numel() for p in self._encoder.parameters())
        output.finish_unit(
            Receipt(unit=UNIT, files=(*files, metrics), counts=self._counts(), metadata=figures)
        )

    def _trained_on(self) -> TrainedOn:
        return TrainedOn(self._task.settings.text_tokenizer, CONTEXT, self._settings.side)

    def _counts(self) -> Counts:
        rejected = {
            "no_caption": self._found.no_caption,
            "beyond_limit": self._found.beyond_limit,
            "held_out": len(self._held_out),
        }
        kept = len(self._trained)
        return Counts(total=kept + sum(rejected.values()), kept=kept, rejected=rejected)


def _optimizers(encoder: Siglip2Model, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, whose updates have AdamW's size; AdamW for tables, vectors and scalars.

    Small batches of pairs that colours alone tell apart hardly ever ask for more. Muon updates the
    directions that rarely matter as much as those that always do, and learns them several times sooner.
    """
    tables = {id(module.weight) for module in encoder.modules() if isinstance(module, nn.Embedding)}
    matrices = [p for p in encoder.parameters() if p.ndim == 2 and id(p) not in tables]
    chosen = {id(p) for p in matrices}
    others = [p for p in encoder.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, rate, WEIGHT_DECAY, MOMENTUM, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, rate, BETAS, weight_decay=WEIGHT_DECAY),
    ]
