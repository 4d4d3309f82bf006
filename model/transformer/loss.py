"""Cross-entropy over the unified vocabulary, weighted by position, with logits a piece at a time.

The loss is a sum and a sum of weights, so that ranks with different packs normalise by the global sum.

Shapes: P supervised positions, E hidden width, S = scales + 1 groups, of which 0 is text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

MAX_LOGITS = 2**24
"""Logits alive at once: 64 MiB in fp32."""


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


def weighted_loss(
    hidden_PE: Tensor,
    targets_P: Tensor,
    weights_P: Tensor,
    scale_P: Tensor,
    head: Callable[[Tensor], Tensor],
    vocabulary: int,
    scales: int,
) -> LossReport:
    """The loss of supervised positions.

    Args:
        head: hidden states [..., E] to logits [..., vocabulary].
        scale_P: 0 for text, else the scale that a position predicts.
    """
    size = max(1, MAX_LOGITS // vocabulary)
    pieces = list(zip(torch.split(hidden_PE, size), torch.split(targets_P, size), strict=True))
    # One piece keeps its logits for the backward pass; of several, each recomputes its own.
    losses = [
        _cross_entropy(*piece, head)
        if len(pieces) == 1
        else checkpoint(_cross_entropy, *piece, head, use_reentrant=False)
        for piece in pieces
    ]
    losses_P = torch.cat(losses)
    zeros_S = torch.zeros(scales + 1, device=losses_P.device)
    return LossReport(
        loss_sum=(losses_P * weights_P).sum(),
        weight_sum=weights_P.sum(),
        scale_sums_S=zeros_S.index_add(0, scale_P, losses_P.detach()),
        scale_counts_S=zeros_S.index_add(0, scale_P, torch.ones_like(losses_P.detach())),
    )


def _cross_entropy(hidden_PE: Tensor, targets_P: Tensor, head: Callable[[Tensor], Tensor]) -> Tensor:
    return cross_entropy(head(hidden_PE).float(), targets_P, reduction="none")
