"""One training process among its peers: who it is, where it computes, how it adds things up with them.

The same loop runs in a worker of Ray Train and, as a world of one, in the process that calls it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

Tell = Callable[[int, int, dict[str, float]], None]
"""Called with steps done, steps in all and live figures."""


@dataclass(frozen=True)
class World:
    """A process of a training run. `tell` reaches whoever waits for the run; only rank 0 is heard."""

    rank: int
    size: int
    device: torch.device
    tell: Tell

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, on the CPU."""
        total = values.to(self.device, copy=True)
        if self.size > 1:
            dist.all_reduce(total)
        return total.cpu()

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with rank 0's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def alone(tell: Tell) -> Iterator[World]:
    """A world of this process only."""
    if not dist.is_initialized():
        # DeepSpeed caches its groups for the life of the process, so this one is never destroyed.
        store = dist.HashStore()  # type: ignore[attr-defined]  # public, but its stub does not say so
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield World(0, 1, torch.device("cpu"), tell)


@contextmanager
def thread_share(processes: int) -> Iterator[None]:
    """Compute with a process's share of the machine's cores.

    Ray gives each worker one thread; more threads than cores would make training several times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // processes))
    try:
        yield
    finally:
        torch.set_num_threads(before)
