"""What runs as one kernel on GPUs in training: rotation and SwiGLU, compiled; plain torch elsewhere.

torch fuses RMSNorm itself, and its compiler makes of these chains of pointwise operations what hand-written
kernels do, forward and backward, without another dependency. Functions are compiled, not layers: the hooks of
sharded or checkpointed modules stay outside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from model.transformer import positions


def compiled_on_gpu(function: Callable[..., Any], x: Tensor) -> Callable[..., Any]:
    """The function; compiled, the first time it is called, if `x` lies on a GPU."""
    return _compiled(function) if x.is_cuda else function


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


def _fused(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(function)
    def call(x: Tensor, *others: Tensor) -> Tensor:
        # Generation, without gradients, has another shape at every scale: it would wait for the compiler.
        chosen = compiled_on_gpu(function, x) if torch.is_grad_enabled() else function
        result: Tensor = chosen(x, *others)
        return result

    return call


@_fused
def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    return silu(gate) * up


rotate = _fused(positions.rotate)
