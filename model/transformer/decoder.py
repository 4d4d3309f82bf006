"""The Qwen2.5 decoder: grouped-query attention with biased projections, RMSNorm, SwiGLU.

Parameters are named as in transformers, so that its checkpoints load as they are. Positions and masks
come from outside: rotations as cosines and sines, attention as a callable.

Shapes: T positions, of a pack or of rows that grow; E hidden width, H heads, G key and value heads, D width
of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.transformer.attention import Attend
from model.transformer.config import TransformerConfig
from model.transformer.kernels import compiled_for_any_length, rotate, swiglu

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines of the positions' angles, [T, D] each."""
Pieces = tuple[Callable[..., Any], Callable[..., Any]]
"""What a layer does before its attention, and after it."""


class SelfAttention(nn.Module):
    """Projections around the attention of one layer, which itself comes from outside."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.head_width = config.head_width
        narrow = config.kv_heads * config.head_width
        self.q_proj = nn.Linear(config.hidden, config.hidden)
        self.k_proj = nn.Linear(config.hidden, narrow)
        self.v_proj = nn.Linear(config.hidden, narrow)
        self.o_proj = nn.Linear(config.hidden, config.hidden, bias=False)

    def forward(self, x_TE: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [T, H, D], keys and values [T, G, D]."""
        heads = (-1, self.head_width)
        queries_THD = rotate(self.q_proj(x_TE).unflatten(-1, heads), cos_TD, sin_TD)
        keys_TGD = rotate(self.k_proj(x_TE).unflatten(-1, heads), cos_TD, sin_TD)
        return queries_THD, keys_TGD, self.v_proj(x_TE).unflatten(-1, heads)


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = nn.Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, x_TE: Tensor) -> Tensor:
        """[T, E] -> [T, E]."""
        result_TE: Tensor = self.down_proj(swiglu(self.gate_proj(x_TE), self.up_proj(x_TE)))
        return result_TE


class DecoderLayer(nn.Module):
    """Attention, then feed-forward, each on the normalised sum so far."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.self_attn = SelfAttention(config)
        self.mlp = FeedForward(config)
        self.input_layernorm = nn.RMSNorm(config.hidden, config.norm_epsilon)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden, config.norm_epsilon)

    def forward(
        self, x_TE: Tensor, rotation: Rotation, attend: Attend, pieces: Pieces | None = None
    ) -> Tensor:
        """[T, E] -> [T, E]. `pieces` are `project` and `combine`, or what does the same."""
        project, combine = pieces or (DecoderLayer.project, DecoderLayer.combine)
        mixed_THD = attend(self.layer, *project(self, x_TE, *rotation))
        result_TE: Tensor = combine(self, x_TE, mixed_THD.flatten(1))
        return result_TE

    def project(self, x_TE: Tensor, cos_TD: Tensor, sin_TD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What comes before attention: queries [T, H, D], keys and values [T, G, D]."""
        heads: tuple[Tensor, Tensor, Tensor] = self.self_attn(self.input_layernorm(x_TE), cos_TD, sin_TD)
        return heads

    def combine(self, x_TE: Tensor, mixed_TE: Tensor) -> Tensor:
        """What comes after attention, which mixed the values: [T, E]."""
        x_TE = x_TE + self.self_attn.o_proj(mixed_TE)
        result_TE: Tensor = x_TE + self.mlp(self.post_attention_layernorm(x_TE))
        return result_TE


class Decoder(nn.Module):
    """Text embedding, layers and final norm (`model.` in transformers' names)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.text_vocabulary, config.hidden)
        self.layers = nn.ModuleList(DecoderLayer(config, layer) for layer in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden, config.norm_epsilon)
        self.checkpointing = False
        self.pieces: Pieces | None = None

    def set_checkpointing(self, enabled: bool) -> None:
        """Keep only the inputs of layers for the backward pass, which then repeats their forward pass.

        Memory for a third more compute; losses and gradients stay the same.
        """
        self.checkpointing = enabled

    def set_compilation(self, enabled: bool) -> None:
        """Compile what layers do before and after their attention, wherever nothing is learned.

        The compiler runs once for several positions and once for one: what it makes serves every layer, every
        scale and prompts of any length. Attention, over slices of a cache, stays as it is.
        """
        self.pieces = self._compiled_pieces if enabled else None

    @cached_property
    def _compiled_pieces(self) -> Pieces:
        return compiled_for_any_length(DecoderLayer.project), compiled_for_any_length(DecoderLayer.combine)

    def forward(self, x_TE: Tensor, rotation: Rotation, attend: Attend) -> Tensor:
        """Hidden states [T, E] of embedded inputs [T, E]."""
        learning = torch.is_grad_enabled()
        pieces = None if learning else self.pieces
        for layer in self.layers:
            if self.checkpointing and learning:
                x_TE = checkpoint(layer, x_TE, rotation, attend, use_reentrant=False)
            else:
                x_TE = layer(x_TE, rotation, attend, pieces)
        result_TE: Tensor = self.norm(x_TE)
        return result_TE
