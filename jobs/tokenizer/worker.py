"""The loop that trains the image tokenizer, the same in every process.

Shapes: B batch, 3 channels, H W pixels, V codebook rows.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.manifest import Output, Receipt
from jobs.tokenizer.batches import BatchOrder, hold_out
from jobs.tokenizer.faces import faces_by_member
from jobs.tokenizer.pictures import Pictures, find_pictures
from jobs.tokenizer.start import build, start
from jobs.tokenizer.task import CAPTIONED, FACES, TokenizerTask
from jobs.train.checkpoints import Checkpoints, State
from jobs.train.metrics import Row, live_figures, to_rows, to_table
from jobs.train.publish import METRICS, UNIT, publish_folder
from jobs.train.schedule import learning_rate
from jobs.train.world import World
from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer
from model.tokenizer.codebook import revive_dead_codes
from model.tokenizer.discriminator import DiscriminatorLoss, PatchDiscriminator

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


def train(world: World, task: TokenizerTask) -> UserError | None:
    """Train from the newest checkpoint to the end; rank 0 measures and publishes.

    Returns:
        An error on every rank if the loss is no longer finite.
    """
    trainer = _Trainer(world, task)
    rows = trainer.begin()
    steps, every = task.settings.stage.steps, task.settings.tokenizer.checkpoint_every
    watch = time.monotonic()
    for step in range(len(rows), steps):
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
        speed = {"pictures_per_second": task.settings.tokenizer.batch_size / seconds}
        world.tell(step + 1, steps, live_figures(row) | speed)
        if (step + 1) % every == 0 and step + 1 < steps:
            trainer.checkpoints.save(step + 1, trainer.state(), to_table(rows))
    trainer.publish(rows)
    return None


class _Judge:
    """The discriminator and its own optimizer."""

    def __init__(self, world: World, seed: int, rate: float) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.discriminator = PatchDiscriminator().to(world.device)
        self._loss: nn.Module = DiscriminatorLoss(self.discriminator)
        if world.size > 1:
            self._loss = DistributedDataParallel(self._loss)
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=rate, betas=BETAS)

    def step(self, images_BCHW: Tensor, reconstructions_BCHW: Tensor, rate: float) -> Tensor:
        """One update; the loss before it."""
        loss: Tensor = self._loss(images_BCHW, reconstructions_BCHW.detach())
        _update(self.optimizer, loss, rate)
        return loss.detach()


class _Trainer:
    """The parts of the training in one process."""

    def __init__(self, world: World, task: TokenizerTask) -> None:
        self._world, self._task = world, task
        self._settings, self._stage = task.settings.tokenizer, task.settings.stage
        self._pictures = Pictures(find_pictures(task.inputs[CAPTIONED], task.schedules))
        numbers, self._held_out = hold_out([ref.sample_id for ref in self._pictures.refs])
        self._trained = len(numbers)
        buckets = _buckets(self._pictures, _oversampled(self._pictures, numbers, task))
        self._order = BatchOrder(buckets, self._settings.batch_size, task.seed)
        self._losses: nn.Module = build(task, world.device)
        self._tokenizer: ImageTokenizer = self._losses.tokenizer
        self._parameters = [p for p in self._tokenizer.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(self._parameters, lr=self._stage.learning_rate, betas=BETAS)
        self._judge: _Judge | None = None
        if self._stage.adversarial_start is not None:
            self._judge = _Judge(world, task.seed, self._stage.learning_rate)
        self._average: AveragedModel | None = None
        if self._settings.ema is not None:
            average: Any = get_ema_multi_avg_fn(self._settings.ema)  # type: ignore[no-untyped-call]
            self._average = AveragedModel(self._tokenizer, multi_avg_fn=average)
        self.checkpoints = Checkpoints(
            storage.join(task.output, "checkpoints"), world, {"workers": world.size}
        )

    def begin(self) -> list[Row]:
        """Go back to the newest checkpoint, or start from the stage before; the measurements so far."""
        steps = self.checkpoints.steps()
        if steps:
            self._restore(self.checkpoints.load(steps[-1], rank=0))
        else:
            start(self._task, self._tokenizer, *self._codebook_data(), self._generator(-1))
            self._world.copy_from_first(self._tokenizer.quantizer.parameters())
        if self._world.size > 1:
            # Buffers are not parameters: the counts of use are each process's own.
            self._losses = DistributedDataParallel(self._losses, broadcast_buffers=False)
        return to_rows(self.checkpoints.metrics(steps[-1])) if steps else []

    def step(self, step: int) -> Row:
        """One update of the tokenizer, and of the discriminator; what was measured over all processes."""
        s = self._stage
        rate = learning_rate(step, s.steps, s.learning_rate, s.warmup_steps, FINAL_LEARNING_RATE)
        images_BCHW, schedule = self._batch(step)
        judge = self._judge if s.adversarial_start is not None and step >= s.adversarial_start else None
        losses, reconstructions_BCHW = self._losses(
            images_BCHW, schedule, self._generator(step), judge.discriminator if judge else None
        )
        norm = _update(self._optimizer, losses["loss"], rate)
        if judge:
            losses["discriminator"] = judge.step(images_BCHW, reconstructions_BCHW, rate)
        if self._average is not None:
            self._average.update_parameters(self._tokenizer)
        return {"step": step + 1, "learning_rate": rate, "gradient_norm": norm} | self._means(losses)

    def revive(self, step: int) -> None:
        """At fixed steps, move codes that no process used onto data."""
        steps = self._stage.steps
        codes_learn = self._tokenizer.quantizer.pixel_VP.requires_grad
        if not codes_learn or (step + 1) % max(1, steps // REVIVALS) or step + 1 > REVIVE_UNTIL * steps:
            return
        use_V = self._tokenizer.code_use
        use_V.copy_(self._world.sum(use_V))
        revive_dead_codes(self._tokenizer, *self._codebook_data(step), self._generator(-2 - step))
        self._world.copy_from_first(self._tokenizer.quantizer.parameters())

    def state(self) -> State | None:
        """What rank 0 saves for all. The counts of use move to it, which leaves their sum as it was."""
        use_V = self._tokenizer.code_use
        total_V = self._world.sum(use_V)
        use_V.copy_(total_V if self._world.rank == 0 else torch.zeros_like(total_V))
        return self._modules() if self._world.rank == 0 else None

    def publish(self, rows: list[Row]) -> None:
        """Rank 0 measures and publishes, the receipt last."""
        if self._world.rank == 0:
            # Measuring takes libraries that take seconds to import, which the other workers do without.
            from jobs.tokenizer.evaluate import evaluate

            output = Output(self._task.output)
            tokenizer = self._published()
            tokenizer.code_use.zero_()
            tokenizer.eval()
            with TemporaryDirectory() as folder:
                tokenizer.save_pretrained(folder)
                files = publish_folder(output, folder, "model")
            metrics = output.publish_table(METRICS, to_table(rows))
            figures: dict[str, Any] = evaluate(tokenizer, self._pictures, self._held_out, output)
            figures["parameters"] = sum(p.numel() for p in self._parameters)
            output.finish_unit(
                Receipt(unit=UNIT, files=(*files, metrics), counts=self._counts(), metadata=figures)
            )
        self._world.barrier()

    def _published(self) -> ImageTokenizer:
        """The tokenizer that later stages use: the last, or the moving average."""
        tokenizer = self._tokenizer if self._average is None else self._average.module
        assert isinstance(tokenizer, ImageTokenizer)
        return tokenizer

    def _modules(self) -> State:
        """The state of everything that training changes."""
        state: State = {"tokenizer": self._tokenizer.state_dict(), "optimizer": self._optimizer.state_dict()}
        if self._judge is not None:
            state["discriminator"] = self._judge.discriminator.state_dict()
            state["discriminator_optimizer"] = self._judge.optimizer.state_dict()
        if self._average is not None:
            state["average"] = self._average.state_dict()
        return state

    def _restore(self, state: State) -> None:
        self._tokenizer.load_state_dict(state["tokenizer"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._judge is not None:
            self._judge.discriminator.load_state_dict(state["discriminator"])
            self._judge.optimizer.load_state_dict(state["discriminator_optimizer"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self._world.rank != 0:
            self._tokenizer.code_use.zero_()

    def _batch(self, step: int) -> tuple[Tensor, ScaleSchedule]:
        """This process's share of the pictures of a step, which have one schedule."""
        numbers = self._order.numbers(step)
        share = len(numbers) // self._world.size
        mine = numbers[self._world.rank * share : (self._world.rank + 1) * share]
        return self._pictures.batch(mine).to(self._world.device), self._pictures.refs[mine[0]].schedule

    def _means(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """The losses over all processes: `loss`, and `loss/<part>`."""
        stacked = torch.stack([value.detach().double() for value in losses.values()])
        means = (self._world.sum(stacked) / self._world.size).tolist()
        names = (name if name == "loss" else f"loss/{name}" for name in losses)
        return dict(zip(names, means, strict=True))

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


def _update(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float) -> float:
    """One step of an optimizer; the gradients' norm before it is clipped."""
    (group,) = optimizer.param_groups
    group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    norm = float(nn.utils.clip_grad_norm_(group["params"], GRADIENT_CLIP))
    optimizer.step()
    return norm


def _oversampled(pictures: Pictures, numbers: Sequence[int], task: TokenizerTask) -> list[int]:
    """Pictures by number, those with a face as often as the recipe says (paper 3.1)."""
    times = task.settings.tokenizer.face_oversampling
    faces = faces_by_member(task.inputs.get(FACES, []))
    shown = []
    for number in numbers:
        ref = pictures.refs[number]
        shown += [number] * (times if (ref.sample_id, ref.member) in faces else 1)
    return shown


def _buckets(pictures: Pictures, numbers: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Pictures by schedule, in the order of schedule names."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for number in numbers:
        found[pictures.refs[number].schedule.name].append(number)
    return tuple(tuple(found[name]) for name in sorted(found))
