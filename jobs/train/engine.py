"""DeepSpeed around the transformer: sharded AdamW, bf16 on GPUs, fp32 on CPUs."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map

from jobs.train.checkpoints import State
from jobs.train.world import World
from model.transformer.layout import PackedBatch
from model.transformer.loss import LossReport
from model.transformer.model import NextScaleTransformer

BETAS = (0.9, 0.95)
GRADIENT_CLIP = 1.0

_LEARNED = (
    "base_optimizer_state",
    "single_partition_of_fp32_groups",  # ZeRO 1 and 2
    "optimizer_state_dict",
    "fp32_flat_groups",  # ZeRO 3
)
"""What changes during training in the state of DeepSpeed's optimizers."""


class Engine:
    """A transformer with its optimizer, sharded over the processes of a run.

    Ranks hold different numbers of tokens, so the loss is normalised by the weights of all of them:
    gradients equal those of one process that holds everything.
    """

    def __init__(
        self, model: NextScaleTransformer, world: World, zero_stage: int, weight_decay: float, batches: int
    ) -> None:
        deepspeed = _import_deepspeed()
        self._model = model
        self._world = world
        self._zero_stage = zero_stage
        bf16 = world.device.type == "cuda"
        self._engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=torch.optim.AdamW(parameter_groups(model, weight_decay), betas=BETAS),
            config=_config(zero_stage, bf16, batches),
            dist_init_required=False,
        )

    def forward_backward(self, batch: PackedBatch, total_weight: float) -> LossReport:
        """Add a batch's gradients, normalised by the weights of the whole step over all processes."""
        report: LossReport = self._engine(batch.to(self._world.device))
        # DeepSpeed averages over processes; the loss is a sum over them.
        loss = report.loss_sum * (self._world.size / total_weight)
        self._engine.backward(loss, scale_wrt_gas=False)
        self._engine.step()
        return report

    def set_learning_rate(self, value: float) -> None:
        """Of the next update."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = value

    def gradient_norm(self) -> float:
        """Of the last update, over all parameters and processes, before clipping."""
        return float(self._engine.get_global_grad_norm())

    def state(self) -> State:
        """This process's shard: master weights and moments."""
        found = self._engine.optimizer.state_dict()
        # The rest is constant in a run, and partly of classes that would have to be unpickled.
        return {key: tree_map(_own_copy, found[key]) for key in _LEARNED if key in found}

    def restore(self, state: State) -> None:
        """Go on from what `state` returned, in a run of the same layout."""
        optimizer = self._engine.optimizer
        everything = optimizer.state_dict() | state
        # Each process reads its own entry of the list.
        optimizer.load_state_dict([everything] * self._world.size, load_from_fp32_weights=True)
        if self._zero_stage == 3:
            optimizer.checkpoint_event_epilogue()
        else:
            optimizer.update_lp_params()

    def save_model(self, folder: str) -> None:
        """Gather the weights and let rank 0 write them."""
        deepspeed = _import_deepspeed()
        sharded = list(self._model.parameters()) if self._zero_stage == 3 else []
        with deepspeed.zero.GatheredParameters(sharded, enabled=self._zero_stage == 3):
            if self._world.rank == 0:
                self._model.save_pretrained(folder)


@contextmanager
def original_linear() -> Iterator[None]:
    """Give torch its own linear layer back afterwards.

    ZeRO 3 replaces it for the life of the process. The other one rounds differently, so whatever the process
    computes next would depend on what it trained before.
    """
    linear = functional.linear
    try:
        yield
    finally:
        functional.linear = linear


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters: matrices decay towards zero, norms and biases do not."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups: list[tuple[list[Tensor], float]] = [
        ([p for p in trainable if p.ndim >= 2], weight_decay),
        ([p for p in trainable if p.ndim < 2], 0.0),
    ]
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]


def _config(zero_stage: int, bf16: bool, batches: int) -> dict[str, Any]:
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": batches,
        "gradient_clipping": GRADIENT_CLIP,
        "zero_optimization": {"stage": zero_stage},
        # torch's AdamW on purpose: DeepSpeed's own is compiled at first use, which takes a minute.
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": bf16},
        "steps_per_print": 2**31,
    }


def _import_deepspeed() -> Any:
    """DeepSpeed, without the compilation it starts on CPUs."""
    if not torch.cuda.is_available():
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("LOCAL_RANK", "0")  # Ray Train sets it; a run without workers is its own rank 0
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed.c10d_logger")
    import deepspeed

    # On CPUs DeepSpeed would compile a shared-memory all-reduce (`deepspeed_shm_comm`, 40 s) that gloo
    # does not need. It asks this table first; an empty one also spares probing every other operator.
    deepspeed.ops.__compatible_ops__ = {}
    return deepspeed


def _own_copy(value: Any) -> Any:
    """A tensor's values without the larger storage it may be a view of."""
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value
