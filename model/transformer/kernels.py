"""What torch's compiler is asked for: rotation and SwiGLU in training, pieces of layers in generation.

In training on GPUs, torch fuses RMSNorm itself, and its compiler makes of these chains of pointwise
operations what hand-written kernels do, forward and backward, without another dependency. Functions are
compiled, not layers: the hooks of sharded or checkpointed modules stay outside. Elsewhere all is plain torch,
unless one asks for more: where nothing is learned, whole pieces of layers can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from model.transformer import positions


def compiled_on_gpu(function: Callable[..., Any], x: Tensor) -> Callable[..., Any]:
    """The function; compiled, the first time it is called, if `x` lies on a GPU."""
    return _compiled(function) if x.is_cuda else function


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function)


def compiled_for_any_length(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function(module, *tensors)`, compiled for all modules of a kind and all lengths T of tensors [T, ...].

    Parameters are inputs of what is compiled, so modules of one shape share it. Lengths share it because T is
    marked; `dynamic=True` would take a T that equals some width for that width. One position has its own.
    """
    # Models of other widths in one process would reach torch's limit of versions, were they counted together.
    # torch's annotations do not know that argument.
    compile_alone: Callable[..., Any] = torch.compile
    compiled = compile_alone(function, fullgraph=True, dynamic=False, isolate_recompiles=True)

    def call(module: nn.Module, *tensors: Tensor) -> Any:
        for tensor in tensors:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        return compiled(module, *tensors)

    return call


def _fused(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(function)
    def call(x: Tensor, *others: Tensor) -> Tensor:
        # Generation has another shape at every scale: compiled by themselves these would make it wait.
        chosen = compiled_on_gpu(function, x) if torch.is_grad_enabled() else function
        result: Tensor = chosen(x, *others)
        return result

    return call


@_fused
def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up."""
    return silu(gate) * up


rotate = _fused(positions.rotate)
