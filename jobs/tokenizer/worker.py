"""The loop that trains the image tokenizer, the same in every process.

Shapes: B batch, 3 channels, H W pixels, V codebook rows.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.manifest import Output, Receipt
from jobs.specs import TokenizerSettings
from jobs.tokenizer.batches import BatchOrder, hold_out
from jobs.tokenizer.evaluate import evaluate
from jobs.tokenizer.pictures import Pictures, find_pictures
from jobs.train.checkpoints import Checkpoints, State
from jobs.train.metrics import Row, live_figures, to_rows, to_table
from jobs.train.publish import publish_folder
from jobs.train.schedule import learning_rate
from jobs.train.world import World
from model.scales import ScaleSchedule, level_schedules
from model.tokenizer import DualTokenizer, TokenizerConfig

UNIT = "training"
"""Name of the one receipt of the job."""

BETAS = (0.9, 0.95)
GRADIENT_CLIP = 1.0
FINAL_LEARNING_RATE = 0.1
"""At the last step, as a share of the peak."""

REVIVALS = 20
"""How often in a run codes that nothing used are moved onto data; in between they have time to be used."""
REVIVE_UNTIL = 0.75
"""Share of the steps after which codes are left to settle."""

_PIXELS_AT_ONCE = 2**20
"""Pixels on which a codebook is fitted, at most _PICTURES_AT_ONCE pictures."""
_PICTURES_AT_ONCE = 256


@dataclass(frozen=True)
class TokenizerTask:
    """Where the curated pictures are, and how to train on them."""

    output: str
    seed: int
    captioned: tuple[str, ...]
    settings: TokenizerSettings


def train(world: World, task: TokenizerTask) -> UserError | None:
    """Train from the newest checkpoint to the end; rank 0 measures and publishes.

    Returns:
        An error on every rank if the loss is no longer finite.
    """
    trainer = _Trainer(world, task)
    rows = trainer.start()
    settings = task.settings.tokenizer
    watch = time.monotonic()
    for step in range(len(rows), settings.steps):
        row = trainer.step(step)
        if not math.isfinite(row["loss"]) or not math.isfinite(row["gradient_norm"]):
            return UserError(
                f"the loss is not finite at step {step + 1}",
                "training of the tokenizer",
                "Lower learning_rate",
            )
        rows.append(row)
        trainer.revive(step)
        seconds, watch = time.monotonic() - watch, time.monotonic()
        world.tell(
            step + 1,
            settings.steps,
            live_figures(row) | {"pictures_per_second": settings.batch_size / seconds},
        )
        if (step + 1) % settings.checkpoint_every == 0 and step + 1 < settings.steps:
            trainer.checkpoints.save(step + 1, trainer.state(), to_table(rows))
    trainer.publish(rows)
    return None


class _Losses(nn.Module):
    """The tokenizer's losses as a forward pass, which is what DistributedDataParallel wraps."""

    def __init__(self, tokenizer: DualTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(
        self, images_BCHW: Tensor, schedule: ScaleSchedule, generator: torch.Generator
    ) -> dict[str, Tensor]:
        losses = self.tokenizer.training_losses(images_BCHW, schedule, generator)
        return {name: value for name, value in losses.items() if name.endswith("loss")}


class _Trainer:
    """The parts of the training in one process."""

    def __init__(self, world: World, task: TokenizerTask) -> None:
        self._world, self._task, self._settings = world, task, task.settings.tokenizer
        self._pictures = Pictures(find_pictures(task.captioned, schedules_of(task.settings)))
        numbers, self._held_out = hold_out([ref.sample_id for ref in self._pictures.refs])
        buckets = _buckets(self._pictures, numbers)
        self._trained = len(numbers)
        self._order = BatchOrder(buckets, self._settings.batch_size, task.seed)
        self._tokenizer = DualTokenizer(tokenizer_config(task)).to(world.device).train()
        parameters = [p for p in self._tokenizer.parameters() if p.requires_grad]
        self._parameters = parameters
        self._optimizer = torch.optim.Adam(parameters, lr=self._settings.learning_rate, betas=BETAS)
        self._losses: nn.Module = _Losses(self._tokenizer)
        self.checkpoints = Checkpoints(
            storage.join(task.output, "checkpoints"), world, {"workers": world.size}
        )

    def start(self) -> list[Row]:
        """Go back to the newest checkpoint, or fit the codebook to data; the measurements so far."""
        steps = self.checkpoints.steps()
        if steps:
            self._restore(self.checkpoints.load(steps[-1], rank=0))
        else:
            self._tokenizer.initialize_codebook(*self._codebook_data(), self._generator(-1))
        if self._world.size > 1:
            # Buffers are not parameters: the counts of use are each process's own.
            self._losses = DistributedDataParallel(self._losses, broadcast_buffers=False)
        return to_rows(self.checkpoints.metrics(steps[-1])) if steps else []

    def step(self, step: int) -> Row:
        """One update; what it measured over all processes."""
        s = self._settings
        rate = learning_rate(step, s.steps, s.learning_rate, s.warmup_steps, FINAL_LEARNING_RATE)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        numbers = self._order.numbers(step)
        share = len(numbers) // self._world.size
        mine = numbers[self._world.rank * share : (self._world.rank + 1) * share]
        images_BCHW = self._pictures.batch(mine).to(self._world.device)
        losses = self._losses(images_BCHW, self._pictures.refs[mine[0]].schedule, self._generator(step))
        self._optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = float(nn.utils.clip_grad_norm_(self._parameters, GRADIENT_CLIP))
        self._optimizer.step()
        means = (
            self._world.sum(torch.stack([v.detach().double() for v in losses.values()])) / self._world.size
        )
        measured = dict(zip(map(_metric_name, losses), means.tolist(), strict=True))
        return {"step": step + 1, "learning_rate": rate, "gradient_norm": norm} | measured

    def revive(self, step: int) -> None:
        """At fixed steps, move codes that no process used onto data."""
        steps = self._settings.steps
        if (step + 1) % max(1, steps // REVIVALS) or step + 1 > REVIVE_UNTIL * steps:
            return
        use_V = self._tokenizer.code_use
        use_V.copy_(self._world.sum(use_V))
        self._tokenizer.revive_dead_codes(*self._codebook_data(step), self._generator(-2 - step))
        self._world.copy_from_first(self._tokenizer.quantizer.parameters())

    def state(self) -> State | None:
        """What rank 0 saves for all. The counts of use move to it, which leaves their sum as it was."""
        use_V = self._tokenizer.code_use
        total_V = self._world.sum(use_V)
        use_V.copy_(total_V if self._world.rank == 0 else torch.zeros_like(total_V))
        if self._world.rank != 0:
            return None
        return {"tokenizer": self._tokenizer.state_dict(), "optimizer": self._optimizer.state_dict()}

    def publish(self, rows: list[Row]) -> None:
        """Rank 0 measures and publishes, the receipt last."""
        if self._world.rank == 0:
            output = Output(self._task.output)
            self._tokenizer.eval()
            with TemporaryDirectory() as folder:
                self._tokenizer.save_pretrained(folder)
                files = publish_folder(output, folder, "model")
            metrics = output.publish_table("data/metrics.parquet", to_table(rows))
            figures: dict[str, Any] = evaluate(self._tokenizer, self._pictures, self._held_out, output)
            figures["parameters"] = sum(p.numel() for p in self._parameters)
            output.finish_unit(
                Receipt(unit=UNIT, files=(*files, metrics), counts=self._counts(), metadata=figures)
            )
        self._world.barrier()

    def _restore(self, state: State) -> None:
        self._tokenizer.load_state_dict(state["tokenizer"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._world.rank != 0:
            self._tokenizer.code_use.zero_()

    def _counts(self) -> Counts:
        held = len(self._held_out)
        return Counts(total=self._trained + held, kept=self._trained, rejected={"held_out": held})

    def _codebook_data(self, step: int = 0) -> tuple[Tensor, ScaleSchedule]:
        """Pictures to draw codes from, the same in every process: a run of the largest bucket."""
        bucket = max(self._order.buckets, key=len)
        schedule = self._pictures.refs[bucket[0]].schedule
        count = max(1, min(_PICTURES_AT_ONCE, _PIXELS_AT_ONCE // (schedule.width * schedule.height)))
        chosen = [bucket[(step + i) % len(bucket)] for i in range(min(count, len(bucket)))]
        return self._pictures.batch(chosen).to(self._world.device), schedule

    def _generator(self, number: int) -> torch.Generator:
        """Random numbers of a step, the same in every process."""
        words = [self._task.seed % 2**31, number % 2**31]
        return torch.Generator().manual_seed(words[0] << 31 | words[1])


def schedules_of(settings: TokenizerSettings) -> tuple[ScaleSchedule, ...]:
    """The schedules of the level that the tokenizer trains on."""
    level = settings.level
    return level_schedules(level.schedule, level.scales, level.cell)


def tokenizer_config(task: TokenizerTask) -> TokenizerConfig:
    """The recipe's preset, seeded.

    Raises:
        UserError: there is no such preset, or its stride is not the level's cell.
    """
    settings = task.settings
    try:
        config = TokenizerConfig.preset(settings.tokenizer.preset)
    except ValueError as error:
        raise UserError(str(error), "recipe, tokenizer.preset", "Correct the name") from error
    if config.stride != settings.level.cell:
        raise UserError(
            f"tokenizer {settings.tokenizer.preset!r} has a stride of {config.stride} pixels, "
            f"level {settings.tokenizer.level!r} has cells of {settings.level.cell}",
            "recipe",
            f"Set the level's cell to {config.stride}",
        )
    return dataclasses.replace(config, seed=task.seed)


def _buckets(pictures: Pictures, numbers: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Pictures by schedule, in the order of schedule names."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for number in numbers:
        found[pictures.refs[number].schedule.name].append(number)
    return tuple(tuple(found[name]) for name in sorted(found))


def _metric_name(loss: str) -> str:
    """`loss` stays; `codebook_loss` becomes `loss/codebook`."""
    return loss if loss == "loss" else f"loss/{loss.removesuffix('_loss')}"
