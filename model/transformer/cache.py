"""Attention of generation, over a cache of keys and values.

Shapes: B samples, Q new positions, S cached positions, H heads, G key and value heads, D width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.transformer.attention import dot_product_attention
from model.transformer.config import TransformerConfig


class CachedAttention:
    """Attention of new positions to all positions so far and to one another, keys and values kept.

    Samples with shorter prompts are padded on the left; `mask` says what a prompt's positions may see.
    """

    def __init__(
        self, config: TransformerConfig, samples: int, capacity: int, like: Tensor, padding_B: Tensor
    ) -> None:
        shape = (2, config.layers, samples, capacity, config.kv_heads, config.head_width)
        self.cache = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.real_BS = torch.arange(capacity, device=like.device) >= padding_B[:, None]
        self.padded = bool(padding_B.any())
        self.length = 0
        self.mask: Tensor | None = None

    def expect(self, count: int, causal: bool) -> None:
        """Prepare for `count` new positions: a prompt, which is causal, or a block, which is not."""
        self.length += count
        self.mask = None
        if causal:
            time = torch.arange(count, device=self.cache.device)
            itself = time[:, None] == time
            self.mask = ((time[:, None] >= time) & self.real_BS[:, None, :count]) | itself
        elif self.padded:
            self.mask = self.real_BS[:, None, : self.length]

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        """[B, Q, heads, D] -> [B, Q, H, D]."""
        new = slice(self.length - queries.shape[1], self.length)
        self.cache[0, layer, :, new] = keys
        self.cache[1, layer, :, new] = values
        keys_BSGD, values_BSGD = self.cache[:, layer, :, : self.length]
        mask = None if self.mask is None else self.mask[:, None]
        return dot_product_attention(queries, keys_BSGD, values_BSGD, mask)
