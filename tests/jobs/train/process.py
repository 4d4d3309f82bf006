"""One of the processes that train together over gloo, without Ray: `process.py RANK SIZE FOLDER`.

FOLDER has `plan.json`: stages to train one after the other, as [spec, step at which to give up or null].
`notes-RANK.json` then says of each which steps were told, and what share of which parameters it held.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from infra.job import JobSpec
from jobs.specs import TrainSettings
from jobs.train.task import task_of
from jobs.train.worker import train
from jobs.train.world import World
from model.transformer.model import NextScaleTransformer

_PATIENCE = timedelta(seconds=100)
"""Processes that disagree about what to exchange wait for each other; then they fail."""


class _KilledError(Exception):
    """Stands for the end of the process: nothing after it runs."""


class _Notes:
    """What a process saw while it trained a stage."""

    def __init__(self, kill_at: int | None) -> None:
        self._kill_at = kill_at
        self.steps: list[int] = []
        self.shares: dict[str, float] = {}

    def tell(self, done: int, steps: int, figures: dict[str, float]) -> None:
        self.steps.append(done)
        if done == self._kill_at:
            raise _KilledError

    def look(self, module: nn.Module, inputs: Any) -> None:
        """Before each batch: the share that this process holds of every parameter that is not whole."""
        if isinstance(module, NextScaleTransformer):
            parameters: dict[str, Any] = dict(module.named_parameters())
            empty = {name: p for name, p in parameters.items() if p.numel() == 0}
            self.shares = {name: p.ds_tensor.numel() / p.ds_numel for name, p in empty.items()}


def main(rank: int, size: int, folder: Path) -> None:
    """Train every stage of the plan."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size, timeout=_PATIENCE)
    plan = json.loads((folder / "plan.json").read_text())
    notes = []
    for spec, kill_at in plan:
        seen = _Notes(kill_at)
        _train(
            World(rank, size, torch.device("cpu"), seen.tell),
            JobSpec[TrainSettings].model_validate(spec),
            seen,
        )
        notes.append({"steps": seen.steps, "shares": seen.shares})
    (folder / f"notes-{rank}.json").write_text(json.dumps(notes))
    dist.destroy_process_group()


def _train(world: World, spec: JobSpec[TrainSettings], seen: _Notes) -> None:
    hook = nn.modules.module.register_module_forward_pre_hook(seen.look)
    try:
        problem = train(world, task_of(spec))
        assert problem is None, problem
    except _KilledError:
        pass
    finally:
        hook.remove()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
