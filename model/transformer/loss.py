"""Cross-entropy over the unified vocabulary, weighted by position, without the tensor of all logits.

The forward pass goes through the positions a piece at a time: logits, losses, and at once the gradients of
the weighted sum. So a piece's logits are computed once and none outlive it; the backward pass only scales
the gradients. Losses and the heads' gradients add up in fp32, whatever the weights are.

The loss is a sum and a sum of weights, so that ranks with different packs normalise by the global sum.

Shapes: P supervised positions, p of one piece, E hidden width, V rows of a head or of all heads together,
S = scales + 1 groups, of which 0 is text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MAX_LOGITS = 2**24
"""Logits alive at once: 64 MiB in fp32."""
MAX_LOGITS_GPU = 2**28
"""On a GPU pieces must be so large that their products outweigh adding to the heads' gradients."""
_ROWS = 2**14
"""Rows of a head whose gradient by a piece, of half precision, is made and added at a time."""

UseWeight = Callable[[Tensor, Tensor], Any]


@dataclass(frozen=True)
class LossReport:
    """What a batch adds to the loss.

    The loss of a step is the sum of `loss_sum` over the sum of `weight_sum`, both over all ranks. The
    others carry no gradient: unweighted sums and counts for text ([0]) and for each scale s ([s]).
    """

    loss_sum: Tensor
    weight_sum: Tensor
    scale_sums_S: Tensor
    scale_counts_S: Tensor


class OutputHead(nn.Linear):
    """Hidden states to the logits of one part of the vocabulary."""

    def __init__(self, hidden: int, rows: int) -> None:
        super().__init__(hidden, rows, bias=False)

    def forward(self, hidden: Tensor, use: UseWeight | None = None) -> Any:
        """Logits [..., V] of [..., E]; or what `use` makes of the hidden states and the weight [V, E].

        A sharded weight is whole only while its module is called: `use` is for what does more than multiply.
        """
        return super().forward(hidden) if use is None else use(hidden, self.weight)


def weighted_loss(
    hidden_PE: Tensor,
    targets_P: Tensor,
    weights_P: Tensor,
    scale_P: Tensor,
    heads: Sequence[OutputHead],
    scales: int,
) -> LossReport:
    """The loss of supervised positions.

    Args:
        targets_P: rows of the heads, counted through one after the other.
        scale_P: 0 for text, else the scale that a position predicts.
        heads: they share one softmax.
    """
    learning = torch.is_grad_enabled()

    def loss(hidden_PE: Tensor, *heads_VE: Tensor) -> Any:
        return _WeightedCrossEntropy.apply(hidden_PE, targets_P, weights_P, learning, *heads_VE)

    loss_sum, losses_P = _with_weights(heads, hidden_PE, loss)
    zeros_S = torch.zeros(scales + 1, device=losses_P.device)
    return LossReport(
        loss_sum=loss_sum,
        weight_sum=weights_P.sum(),
        scale_sums_S=zeros_S.index_add(0, scale_P, losses_P),
        scale_counts_S=zeros_S.index_add(0, scale_P, torch.ones_like(losses_P)),
    )


def _with_weights(heads: Sequence[OutputHead], hidden_PE: Tensor, use: Callable[..., Any]) -> Any:
    """`use(hidden, weight of every head...)`, called inside all heads."""
    if not heads:
        return use(hidden_PE)
    first, *others = heads

    def inside(hidden_PE: Tensor, weight_VE: Tensor) -> Any:
        return _with_weights(others, hidden_PE, lambda hidden, *weights: use(hidden, weight_VE, *weights))

    return first(hidden_PE, inside)


class _WeightedCrossEntropy(torch.autograd.Function):
    """(hidden, targets, weights, whether to differentiate, heads...) -> weighted sum, losses [P].

    Only the sum is differentiable, in the hidden states and in those heads that learn.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_PE: Tensor, targets_P: Tensor, weights_P: Tensor, learning: bool, *heads_VE: Tensor
    ) -> tuple[Tensor, Tensor]:
        needs_hidden, _, _, _, *needs_heads = (learning and needed for needed in ctx.needs_input_grad)
        losses_P = hidden_PE.new_empty(len(hidden_PE), dtype=torch.float32)
        grad_PE = torch.empty_like(hidden_PE) if needs_hidden else None
        grads_VE = [
            torch.zeros_like(head_VE, dtype=torch.float32) if needed else None
            for head_VE, needed in zip(heads_VE, needs_heads, strict=True)
        ]
        for piece, logits_pV in _logits(hidden_PE, heads_VE):
            losses_P[piece] = _differentiate(logits_pV, targets_P[piece], weights_P[piece])
            parts = torch.split(logits_pV.to(hidden_PE.dtype), [len(h) for h in heads_VE], dim=1)
            if grad_PE is not None:
                grad_PE[piece] = sum(_product(p, h).float() for p, h in zip(parts, heads_VE, strict=True))
            for part_pV, grad_VE in zip(parts, grads_VE, strict=True):
                if grad_VE is not None:
                    _add_product(grad_VE, part_pV, hidden_PE[piece])
        ctx.save_for_backward(grad_PE, *(None if g is None else g.to(hidden_PE.dtype) for g in grads_VE))
        ctx.mark_non_differentiable(losses_P)
        ctx.set_materialize_grads(False)
        return (losses_P * weights_P).sum(), losses_P

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor | None, _losses: None) -> tuple[Tensor | None, ...]:
        grads = [None if g is None or upstream is None else g * upstream for g in ctx.saved_tensors]
        return grads[0], None, None, None, *grads[1:]


def _logits(hidden_PE: Tensor, heads_VE: Sequence[Tensor]) -> Iterator[tuple[slice, Tensor]]:
    """Pieces of the positions with their logits [p, V] in fp32, all in the same memory."""
    limit = MAX_LOGITS if hidden_PE.device.type == "cpu" else MAX_LOGITS_GPU
    vocabulary = sum(map(len, heads_VE))
    size = max(1, min(len(hidden_PE), limit // vocabulary))
    buffer_pV = hidden_PE.new_empty(size, vocabulary, dtype=torch.float32)
    for at in range(0, len(hidden_PE), size):
        piece = slice(at, at + size)
        products = [_product(hidden_PE[piece], head_VE.T) for head_VE in heads_VE]
        yield piece, torch.cat(products, dim=1, out=buffer_pV[: len(products[0])])


def _differentiate(logits_pV: Tensor, targets_p: Tensor, weights_p: Tensor) -> Tensor:
    """Losses [p]; in place, the logits become the gradient of the weighted sum of the losses."""
    targets_p1 = targets_p[:, None]
    logits_pV -= logits_pV.amax(dim=1, keepdim=True)
    chosen_p = logits_pV.gather(1, targets_p1)[:, 0]
    sums_p = logits_pV.exp_().sum(dim=1)
    logits_pV *= (weights_p / sums_p)[:, None]
    logits_pV.scatter_add_(1, targets_p1, -weights_p[:, None])
    return sums_p.log() - chosen_p


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product, in fp32 where the device can, so that nothing is rounded to half precision."""
    if a.is_cuda and a.dtype != torch.float32:
        return torch.mm(a, b, out_dtype=torch.float32)
    return torch.mm(a, b)


def _add_product(grad_VE: Tensor, part_pV: Tensor, hidden_pE: Tensor) -> None:
    """Add a piece's gradient of a head, in fp32."""
    if hidden_pE.dtype == torch.float32:
        grad_VE.addmm_(part_pV.T, hidden_pE)
        return
    tiles = zip(torch.split(grad_VE, _ROWS), torch.split(part_pV, _ROWS, dim=1), strict=True)
    for grad_vE, part_pv in tiles:
        grad_vE += _product(part_pv.T, hidden_pE)
