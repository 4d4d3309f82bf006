"""The tokenizer's losses (paper 2.1, TokenFlow): reconstruction, codebook, commitment, semantic.

Shapes: B batch, H W pixels, N patches, D teacher width, n tokens of one scale, C codebook width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from model.tokenizer.quantizer import Quantized


def codebook_loss(quantized: Quantized) -> Tensor:
    """Mean squared distance that moves codes towards the vectors they stand for, averaged over scales."""
    pairs = zip(quantized.codes, quantized.vectors, strict=True)
    return torch.stack([functional.mse_loss(codes, vectors.detach()) for codes, vectors in pairs]).mean()


def commitment_loss(quantized: Quantized) -> Tensor:
    """Mean squared distance that moves vectors towards their codes, averaged over scales."""
    pairs = zip(quantized.codes, quantized.vectors, strict=True)
    return torch.stack([functional.mse_loss(vectors, codes.detach()) for codes, vectors in pairs]).mean()


def semantic_loss(decoded_BND: Tensor, teacher_BND: Tensor) -> Tensor:
    """1 - cosine of decoded semantic features and the teacher's, averaged over patches."""
    return (1 - functional.cosine_similarity(decoded_BND, teacher_BND, dim=-1)).mean()
