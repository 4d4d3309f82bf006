"""Who attends to whom, in training over packed documents and in generation over a cache.

Both are called as `attend(layer, queries, keys, values)` by the decoder, which knows nothing of masks.

Shapes: T positions of a pack, L positions of a document, B samples, Q new positions, S cached positions,
H heads, G key and value heads, D width of a head.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from model.transformer.config import TransformerConfig
from model.transformer.layout import PackedBatch, allowed


class Attend(Protocol):
    """Attention of one layer: queries [..., H, D], keys and values [..., G, D] -> [..., H, D]."""

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        """Mix the values, each query by its scores of the keys it may see."""
        ...


class PackedAttention:
    """Attention within every document of a pack: cost grows with documents' squares, not the pack's."""

    def __init__(self, batch: PackedBatch) -> None:
        self.padding = len(batch.tokens_T) - batch.spans[-1][1]
        self.lengths = [stop - start for start, stop in batch.spans] + [self.padding]
        self.masks = [
            allowed(batch.document_T[start:stop], batch.step_T[start:stop]) for start, stop in batch.spans
        ]

    def __call__(self, _layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        """[T, heads, D] -> [T, H, D]; padding gets zeros."""
        pieces = (torch.split(x, self.lengths) for x in (queries, keys, values))
        *documents, padding = zip(*pieces, strict=True)
        mixed = [
            _attend(q_LHD[None], k_LGD[None], v_LGD[None], mask_LL)[0]
            for (q_LHD, k_LGD, v_LGD), mask_LL in zip(documents, self.masks, strict=True)
        ]
        return torch.cat([*mixed, torch.zeros_like(padding[0])])


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
        return _attend(queries, keys_BSGD, values_BSGD, mask)


def _attend(queries_BQHD: Tensor, keys_BSGD: Tensor, values_BSGD: Tensor, mask: Tensor | None) -> Tensor:
    mixed_BHQD = scaled_dot_product_attention(
        queries_BQHD.transpose(1, 2),
        keys_BSGD.transpose(1, 2),
        values_BSGD.transpose(1, 2),
        attn_mask=mask,
        enable_gqa=True,
    )
    return mixed_BHQD.transpose(1, 2)
