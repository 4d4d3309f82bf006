"""The loop that trains a transformer, the same in every process of a stage."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.manifest import Output, Receipt
from jobs.readers import PackReader
from jobs.train.checkpoints import Checkpoints
from jobs.train.engine import Engine, original_linear
from jobs.train.loader import Batching, PackLoader
from jobs.train.metrics import Row, live_figures, to_rows, to_table
from jobs.train.order import PackOrder
from jobs.train.publish import METRICS, UNIT, publish_folder
from jobs.train.schedule import learning_rate
from jobs.train.task import TrainTask, start_model
from jobs.train.world import World


def train(world: World, task: TrainTask) -> UserError | None:
    """Train a stage from its newest checkpoint to its end; rank 0 publishes the model and a receipt.

    Returns:
        An error on every rank if the loss is no longer finite.
    """
    with original_linear():
        return _train(world, task)


def _train(world: World, task: TrainTask) -> UserError | None:
    trainer = _Trainer(world, task)
    rows = trainer.resume()
    stage = task.settings.stage
    watch = time.monotonic()
    for step in range(len(rows), stage.steps):
        row = trainer.step(step)
        if not math.isfinite(row["loss"]) or not math.isfinite(row["gradient_norm"]):
            return trainer.not_finite(step)
        rows.append(row)
        seconds, watch = time.monotonic() - watch, time.monotonic()
        world.tell(step + 1, stage.steps, live_figures(row) | {"tokens_per_second": row["tokens"] / seconds})
        if (step + 1) % stage.checkpoint_every == 0 and step + 1 < stage.steps:
            trainer.checkpoints.save(step + 1, trainer.engine.state(), to_table(rows))
    trainer.publish(rows)
    return None


class _Trainer:
    """The parts of a stage in one process."""

    def __init__(self, world: World, task: TrainTask) -> None:
        stage = task.settings.stage
        self._world, self._task, self._stage = world, task, stage
        self.model = start_model(task)
        reader = PackReader(list(task.packs))
        self._order = PackOrder(len(reader), stage.packs_per_step, world.size, task.seed)
        # Compiled kernels want one shape; on CPUs padding would only cost time.
        length = stage.packing.max_tokens if world.device.type == "cuda" else None
        batching = Batching(self.model.config, stage.caption_dropout, stage.scale_reweight, length)
        self._loader = PackLoader(reader, self._order, world.rank, batching)
        self._sizes = {  # counted before the engine shards them
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "trained_parameters": sum(p.numel() for p in self.model.parameters() if p.requires_grad),
        }
        share = stage.packs_per_step // world.size
        self.engine = Engine(self.model, world, stage.zero_stage, stage.weight_decay, share)
        layout = {"workers": world.size, "zero_stage": stage.zero_stage}
        self.checkpoints = Checkpoints(storage.join(task.output, "checkpoints"), world, layout)

    def resume(self) -> list[Row]:
        """Go back to the newest checkpoint; the measurements up to there, none for a fresh start."""
        steps = self.checkpoints.steps()
        if not steps:
            return []
        self.engine.restore(self.checkpoints.load(steps[-1], self._world.rank))
        return to_rows(self.checkpoints.metrics(steps[-1]))

    def step(self, step: int) -> Row:
        """One update; what it measured over all processes."""
        stage = self._stage
        rate = learning_rate(
            step, stage.steps, stage.learning_rate, stage.warmup_steps, stage.final_learning_rate
        )
        self.engine.set_learning_rate(rate)
        batches = self._loader.batches(step)
        weights = torch.stack([batch.weights_T.sum(dtype=torch.float64) for batch in batches]).sum()
        total_weight = float(self._world.sum(weights))
        sums = _Sums.zero(self.model.config.max_scales)
        for batch in batches:
            report = self.engine.forward_backward(batch, total_weight)
            positions = sum(end - start for start, end in batch.spans)
            sums = sums + _Sums.of(report.loss_sum, positions, report.scale_sums_S, report.scale_counts_S)
        totals = _Sums(self._world.sum(sums.values))
        measured = {"learning_rate": rate, "gradient_norm": self.engine.gradient_norm()}
        return {"step": step + 1, "weight": total_weight} | measured | totals.row(total_weight)

    def not_finite(self, step: int) -> UserError:
        """Where training broke down."""
        ranks = range(self._world.size)
        packs = sorted({slot.pack for rank in ranks for slot in self._order.slots(step, rank)})
        return UserError(
            f"the loss is not finite at step {step + 1}, packs {', '.join(map(str, packs))}",
            f"training of {self._task.settings.stage_name!r}",
            "Lower learning_rate or lengthen warmup_steps",
        )

    def publish(self, rows: list[Row]) -> None:
        """Write the model and the measurements, then the receipt that says they are whole."""
        with TemporaryDirectory() as folder:
            self.engine.save_model(folder)
            if self._world.rank == 0:
                output = Output(self._task.output)
                files = publish_folder(output, folder, "model")
                metrics = output.publish_table(METRICS, to_table(rows))
                output.finish_unit(
                    Receipt(unit=UNIT, files=(*files, metrics), counts=self._counts(), metadata=self._sizes)
                )
        self._world.barrier()

    def _counts(self) -> Counts:
        """Packs in, and those that the steps reached."""
        total = self._order.packs
        seen = min(total, self._stage.steps * self._stage.packs_per_step)
        return Counts(total=total, kept=seen, rejected={"not_reached": total - seen} if seen < total else {})


@dataclass(frozen=True)
class _Sums:
    """What processes add up after a step, as one vector: loss, positions, then sums and counts of
    text (group 0) and of every scale."""

    values: Tensor

    @classmethod
    def zero(cls, scales: int) -> _Sums:
        return cls(torch.zeros(2 + 2 * (scales + 1), dtype=torch.float64))

    @classmethod
    def of(cls, loss: Tensor, positions: int, sums_S: Tensor, counts_S: Tensor) -> _Sums:
        head = torch.stack([loss.detach().double(), loss.new_tensor(positions, dtype=torch.float64)])
        return cls(torch.cat([head, sums_S.double(), counts_S.double()]).cpu())

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.values + other.values)

    def row(self, total_weight: float) -> Row:
        """Means, in nats per token; groups without tokens are left out."""
        loss, positions, *groups = self.values.tolist()
        half = len(groups) // 2
        row = {"loss": loss / total_weight, "tokens": positions}
        for group, (total, count) in enumerate(zip(groups[:half], groups[half:], strict=True)):
            if count:
                name = f"scale_{group}" if group else "text"
                row |= {f"loss/{name}": total / count, f"tokens/{name}": count}
        return row
