"""Who attends to whom in training, over packed documents.

Attention is called as `attend(layer, queries, keys, values)` by the decoder, which knows nothing of masks.

Shapes: T positions of a pack, L positions of a document, B samples, Q queries, S keys,
H heads, G key and value heads, D width of a head.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

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
            dot_product_attention(q_LHD[None], k_LGD[None], v_LGD[None], mask_LL)[0]
            for (q_LHD, k_LGD, v_LGD), mask_LL in zip(documents, self.masks, strict=True)
        ]
        return torch.cat([*mixed, torch.zeros_like(padding[0])])


def dot_product_attention(
    queries_BQHD: Tensor, keys_BSGD: Tensor, values_BSGD: Tensor, mask: Tensor | None
) -> Tensor:
    """Grouped-query attention: [B, Q, H, D]. The mask broadcasts to [B, H, Q, S]; None sees every key."""
    mixed_BHQD = scaled_dot_product_attention(
        queries_BQHD.transpose(1, 2),
        keys_BSGD.transpose(1, 2),
        values_BSGD.transpose(1, 2),
        attn_mask=mask,
        enable_gqa=True,
    )
    return mixed_BHQD.transpose(1, 2)
