"""A larger decoder that draws just what the smaller one draws, to go on training from (after Net2Net).

Each channel is doubled. Where a doubled channel is read, its weight is split between the two copies by a
random share, so that their sum stays and yet the copies learn different things. Blocks without a counterpart
begin by adding nothing. Norms keep their number of groups: a group holds the same channels, each twice.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from model.tokenizer.decoders import PixelDecoder

_SPREAD = 0.4
"""Shares of a split weight lie within one half plus or minus this."""

_LAST_OF_A_BLOCK = re.compile(r"\.(conv2|out)\.(weight|bias)$")
_QUERY_KEY_VALUE = re.compile(r"\.qkv\.(weight|bias)$")


@torch.no_grad()
def widen(small: PixelDecoder, large: PixelDecoder, generator: torch.Generator) -> None:
    """Gives `large`, of twice the width and more blocks, weights with which it decodes as `small` does."""
    source = small.state_dict()
    for name, target in large.state_dict().items():
        if name in source:
            doubled = _double(source[name], target.shape, generator)
            target.copy_(_rescale_query(doubled) if _QUERY_KEY_VALUE.search(name) else doubled)
        elif _LAST_OF_A_BLOCK.search(name):
            target.zero_()


def _double(weight: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Output channels are repeated; input channels are repeated and their weights split."""
    if weight.shape[0] != shape[0]:
        weight = weight.repeat_interleave(2, dim=0)
    if weight.dim() > 1 and weight.shape[1] != shape[1]:
        share = 0.5 + _SPREAD * (2 * torch.rand(weight.shape, generator=generator) - 1)
        halves = torch.stack([weight * share, weight * (1 - share)], dim=2)
        weight = halves.flatten(1, 2)
    return weight


def _rescale_query(weight: Tensor) -> Tensor:
    """Twice the channels double a product of query and key, but its divisor grows by the root of two only."""
    query, key, value = weight.chunk(3)
    return torch.cat([query / 2**0.5, key, value])
