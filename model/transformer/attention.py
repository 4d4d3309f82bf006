"""Who attends to whom in training, over packed documents.

Attention is called as `attend(layer, queries, keys, values)` by the decoder, which knows nothing of masks.
`layout.allowed` is the rule: a mask for each document on CPUs, FlexAttention over the whole pack on GPUs.

Shapes: T positions of a pack, L positions of a document, B samples, Q queries, S keys,
H heads, G key and value heads, D width of a head.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention

from model.transformer.kernels import compiled_on_gpu
from model.transformer.layout import PADDING, PackedBatch, allowed


class Attend(Protocol):
    """Attention of one layer: queries [..., H, D], keys and values [..., G, D] -> [..., H, D]."""

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        """Mix the values, each query by its scores of the keys it may see."""
        ...


def pack_attention(batch: PackedBatch) -> Attend:
    """Attention of a pack as its device does it fastest. Padding gets zeros."""
    return FlexPackedAttention(batch) if batch.document_T.is_cuda else PackedAttention(batch)


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


class FlexPackedAttention:
    """Attention over a whole pack by a map of its blocks, made once and used by all layers.

    Blocks that the rule forbids cost nothing, and no mask of the pack's square is ever read. On CPUs it runs
    uncompiled, for comparison, and has no backward pass.
    """

    def __init__(self, batch: PackedBatch) -> None:
        self.block_mask = block_mask(batch.document_T, batch.step_T)
        self._flex = compiled_on_gpu(flex_attention, batch.document_T)

    def __call__(self, _layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        """[T, heads, D] -> [T, H, D]; padding gets zeros."""
        q_1HTD, k_1GTD, v_1GTD = (x.transpose(0, 1)[None] for x in (queries, keys, values))
        mixed_1HTD: Tensor = self._flex(q_1HTD, k_1GTD, v_1GTD, block_mask=self.block_mask, enable_gqa=True)
        return mixed_1HTD[0].transpose(0, 1)


def block_mask(document_T: Tensor, step_T: Tensor) -> BlockMask:
    """The rule of `layout.allowed` as FlexAttention reads it, but padding sees nothing."""
    document_T, step_T = document_T.int(), step_T.int()

    def rule(_sample: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = (document_T[query] == document_T[key]) & (document_T[query] != PADDING)
        return same & (step_T[key] <= step_T[query])

    create, length = compiled_on_gpu(create_block_mask, document_T), len(document_T)
    blocks: BlockMask = create(rule, None, None, length, length, device=document_T.device)
    return blocks


def dot_product_attention(
    queries_BQHD: Tensor, keys_BSGD: Tensor, values_BSGD: Tensor, mask: Tensor | None
) -> Tensor:
    """Grouped-query attention: [B, Q, H, D]. The mask broadcasts to [B, H, Q, S]; None sees every key."""
    # Measured on CPU, forward and backward, one thread, 3 and 12 heads of 64 over documents of 50 to 1,000
    # positions: an explicit softmax of products is at best 10% faster (12 heads at 136), 50% slower at 1,000.
    mixed_BHQD = scaled_dot_product_attention(
        queries_BQHD.transpose(1, 2),
        keys_BSGD.transpose(1, 2),
        values_BSGD.transpose(1, 2),
        attn_mask=mask,
        enable_gqa=True,
    )
    return mixed_BHQD.transpose(1, 2)
