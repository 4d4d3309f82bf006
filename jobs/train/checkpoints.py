"""Checkpoints a killed run continues from: one folder per step, whole or invisible.

    step-00000200/rank-00000.pt     what each process needs to go on, written by itself
    step-00000200/metrics.parquet   the measurements of all steps so far
    step-00000200/finished.json     published last; without it the folder does not count

States are tensors, numbers, lists and dicts, and are loaded as such: nothing is unpickled.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from infra import storage
from infra.errors import UserError
from infra.manifest import read_table, table_bytes
from jobs.train.world import World

State = dict[str, Any]

KEPT = 2
"""Newest checkpoints that stay; the one before the newest serves where the newest proves unreadable."""

_MARKER = "finished.json"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run, below a folder. `layout` names what must agree to load one."""

    uri: str
    world: World
    layout: dict[str, int]

    def save(self, step: int, state: State | None, metrics: pa.Table) -> None:
        """Save after `step` steps, with all processes together; then remove old checkpoints.

        Args:
            state: of this process; None where another's serves.
            metrics: measurements of the steps so far; those of rank 0 are stored.
        """
        folder = self._folder(step)
        if state is not None:
            storage.publish_bytes(storage.join(folder, _rank_file(self.world.rank)), _to_bytes(state))
        self.world.barrier()
        if self.world.rank == 0:
            storage.publish_bytes(storage.join(folder, "metrics.parquet"), table_bytes(metrics))
            storage.publish_bytes(storage.join(folder, _MARKER), json.dumps(self.layout).encode())
            for old in self.steps()[:-KEPT]:
                self._remove(old)

    def steps(self) -> list[int]:
        """Steps with a finished checkpoint, in order."""
        files = storage.list_files(self.uri)
        folders = [f.uri.split("/")[-2] for f in files if f.uri.endswith(f"/{_MARKER}")]
        return sorted(int(name.removeprefix("step-")) for name in folders)

    def load(self, step: int, rank: int) -> State:
        """The state that a rank saved after `step` steps.

        Raises:
            UserError: the checkpoint was made with another layout.
        """
        marker = storage.join(self._folder(step), _MARKER)
        found = json.loads(storage.read_bytes(marker))
        for name, wanted in self.layout.items():
            if found.get(name) != wanted:
                raise UserError(
                    f"the checkpoint was written with {name} = {found.get(name)}, the recipe says {wanted}",
                    self._folder(step),
                    f"Set {name} back, or remove the checkpoints folder to train this stage from its start",
                )
        data = storage.read_bytes(storage.join(self._folder(step), _rank_file(rank)))
        state: State = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return state

    def metrics(self, step: int) -> pa.Table:
        """The measurements of the first `step` steps."""
        return read_table(storage.join(self._folder(step), "metrics.parquet"))

    def _folder(self, step: int) -> str:
        return storage.join(self.uri, f"step-{step:08d}")

    def _remove(self, step: int) -> None:
        storage.remove(storage.join(self._folder(step), _MARKER))  # first: a half-removed one must not count
        storage.remove(self._folder(step))


def _rank_file(rank: int) -> str:
    return f"rank-{rank:05d}.pt"


def _to_bytes(state: State) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
