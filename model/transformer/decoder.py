"""The Qwen2.5 decoder: grouped-query attention with biased projections, RMSNorm, SwiGLU.

Parameters are named as in transformers, so that its checkpoints load as they are. Positions and masks
come from outside: rotations as cosines and sines, attention as a callable.

Shapes: `...` is T positions of a pack, or B samples x Q new positions; E hidden width, H heads, G key and
value heads, D width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from model.transformer.attention import Attend
from model.transformer.config import TransformerConfig
from model.transformer.kernels import rotate, swiglu


class SelfAttention(nn.Module):
    """Projections and rotation around the attention of one layer."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_width = config.head_width
        narrow = config.kv_heads * config.head_width
        self.q_proj = nn.Linear(config.hidden, config.hidden)
        self.k_proj = nn.Linear(config.hidden, narrow)
        self.v_proj = nn.Linear(config.hidden, narrow)
        self.o_proj = nn.Linear(config.hidden, config.hidden, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """[..., E] -> [..., E]."""
        heads = (-1, self.head_width)
        queries = rotate(self.q_proj(x).unflatten(-1, heads), *rotation)
        keys = rotate(self.k_proj(x).unflatten(-1, heads), *rotation)
        values = self.v_proj(x).unflatten(-1, heads)
        mixed: Tensor = self.o_proj(attend(self.layer, queries, keys, values).flatten(-2))
        return mixed


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = nn.Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., E]."""
        result: Tensor = self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))
        return result


class DecoderLayer(nn.Module):
    """Attention, then feed-forward, each on the normalised sum so far."""

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config, layer)
        self.mlp = FeedForward(config)
        self.input_layernorm = nn.RMSNorm(config.hidden, config.norm_epsilon)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden, config.norm_epsilon)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """[..., E] -> [..., E]."""
        x = x + self.self_attn(self.input_layernorm(x), rotation, attend)
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class Decoder(nn.Module):
    """Text embedding, layers and final norm (`model.` in transformers' names)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.text_vocabulary, config.hidden)
        self.layers = nn.ModuleList(DecoderLayer(config, layer) for layer in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden, config.norm_epsilon)
        self.checkpointing = False

    def set_checkpointing(self, enabled: bool) -> None:
        """Keep only the inputs of layers for the backward pass, which then repeats their forward pass.

        Memory for a third more compute; losses and gradients stay the same.
        """
        self.checkpointing = enabled

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """Hidden states [..., E] of embedded inputs [..., E]."""
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, rotation, attend, use_reentrant=False)
            else:
                x = layer(x, rotation, attend)
        result: Tensor = self.norm(x)
        return result
