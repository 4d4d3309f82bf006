"""Which of TokenFlow's tensors each of our weights is made of, and why some are not used.

Patterns write `#` for a number, `@` for `weight` or `bias` and `*` for any rest; each is a group that a
template refers to by its place. SigLIP's names stand here as transformers 5 writes them.

Shapes: D width, S semantic width, N patches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from model.tokenizer.config import TokenizerConfig

Make = Callable[..., Tensor]


@dataclass(frozen=True)
class Source:
    """The tensors that one of our weights is made of, and how."""

    names: tuple[str, ...]
    make: Make


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _stacked(*parts: Tensor) -> Tensor:
    return torch.cat(parts)


def _third(place: int) -> Make:
    """One of query, key and value, which are packed in this order."""
    return lambda packed: packed.chunk(3)[place].clone()


def _matrix(kernel_DS11: Tensor) -> Tensor:
    """A 1x1 convolution is a linear layer."""
    return kernel_DS11.flatten(1)


def _class_token(token_11D: Tensor, positions_1ND: Tensor) -> Tensor:
    """The class token never moves, so its position is part of it."""
    return token_11D[0, 0] + positions_1ND[0, 0]


def _positions(positions_1ND: Tensor) -> Tensor:
    return positions_1ND[0, 1:].clone()


def _query_key_value_bias(query_D: Tensor, value_D: Tensor) -> Tensor:
    """Keys have no bias."""
    return torch.cat([query_D, torch.zeros_like(query_D), value_D])


_Rule = tuple[str, tuple[str, ...], Make]
"""(our name, TokenFlow's names, how ours is made of them)."""

_PIXEL_BRANCH: list[_Rule] = [
    ("pixel_encoder.enter.1.@", (r"encoder.conv_in.\1",), _same),
    ("pixel_decoder.enter.@", (r"decoder.conv_in.\1",), _same),
    ("pixel_encoder.project.@", (r"quant_conv.\1",), _same),
    ("pixel_decoder.project.@", (r"post_quant_conv.\1",), _same),
    ("pixel_(en|de)coder.leave.0.@", (r"\1coder.norm_out.\2",), _same),
    ("pixel_(en|de)coder.leave.2.@", (r"\1coder.conv_out.\2",), _same),
    ("pixel_encoder.levels.#.resize.conv.@", (r"encoder.conv_blocks.\1.downsample.conv.\2",), _same),
    ("pixel_decoder.levels.#.resize.conv.@", (r"decoder.conv_blocks.\1.upsample.conv.\2",), _same),
    (
        "pixel_(en|de)coder.levels.#.blocks.#.shortcut.@",
        (r"\1coder.conv_blocks.\2.res.\3.nin_shortcut.\4",),
        _same,
    ),
    ("pixel_(en|de)coder.levels.#.blocks.#.*", (r"\1coder.conv_blocks.\2.res.\3.\4",), _same),
    (
        "pixel_(en|de)coder.levels.#.attentions.#.qkv.@",
        tuple(rf"\1coder.conv_blocks.\2.attn.\3.{part}.\4" for part in "qkv"),
        _stacked,
    ),
    (
        "pixel_(en|de)coder.levels.#.attentions.#.out.@",
        (r"\1coder.conv_blocks.\2.attn.\3.proj_out.\4",),
        _same,
    ),
    ("pixel_(en|de)coder.levels.#.attentions.#.*", (r"\1coder.conv_blocks.\2.attn.\3.\4",), _same),
    ("pixel_(en|de)coder.middle.1.qkv.@", tuple(rf"\1coder.mid.1.{part}.\2" for part in "qkv"), _stacked),
    ("pixel_(en|de)coder.middle.1.out.@", (r"\1coder.mid.1.proj_out.\2",), _same),
    ("pixel_(en|de)coder.middle.*", (r"\1coder.mid.\2",), _same),
]

_CLIP: list[_Rule] = [
    ("semantic_encoder.core.embeddings.class_embedding", ("encoder_vqkd.class_embedding",), _same),
    ("semantic_encoder.core.embeddings.patch_embedding.weight", ("encoder_vqkd.conv1.weight",), _same),
    (
        "semantic_encoder.core.embeddings.position_embedding.weight",
        ("encoder_vqkd.positional_embedding",),
        _same,
    ),
    ("semantic_encoder.core.pre_layrnorm.@", (r"encoder_vqkd.ln_pre.\1",), _same),
    ("semantic_encoder.core.post_layernorm.@", (r"encoder_vqkd.ln_post.\1",), _same),
    *(
        (
            f"semantic_encoder.core.encoder.layers.#.self_attn.{part}_proj.@",
            (r"encoder_vqkd.transformer.resblocks.\1.attn.in_proj_\2",),
            _third(place),
        )
        for place, part in enumerate("qkv")
    ),
    *(
        (
            f"semantic_encoder.core.encoder.layers.#.{ours}.@",
            (rf"encoder_vqkd.transformer.resblocks.\1.{theirs}.\2",),
            _same,
        )
        for ours, theirs in {
            "self_attn.out_proj": "attn.out_proj",
            "layer_norm1": "ln_1",
            "layer_norm2": "ln_2",
            "mlp.fc1": "mlp.c_fc",
            "mlp.fc2": "mlp.c_proj",
        }.items()
    ),
]

_SIGLIP: list[_Rule] = [("semantic_encoder.core.*", (r"encoder_vqkd.\1",), _same)]

_SEMANTICS_AND_CODES: list[_Rule] = [
    ("semantic_projection.*", (r"encode_task_layer.\1",), _same),
    ("semantic_decoder.embed.weight", ("decoder_vqkd.patch_embed.proj.weight",), _matrix),
    ("semantic_decoder.embed.bias", ("decoder_vqkd.patch_embed.proj.bias",), _same),
    ("semantic_decoder.class_D", ("decoder_vqkd.cls_token", "decoder_vqkd.pos_embed"), _class_token),
    ("semantic_decoder.positions_ND", ("decoder_vqkd.pos_embed",), _positions),
    (
        "semantic_decoder.blocks.#.self_attn.in_proj_weight",
        (r"decoder_vqkd.blocks.\1.attn.qkv.weight",),
        _same,
    ),
    (
        "semantic_decoder.blocks.#.self_attn.in_proj_bias",
        (r"decoder_vqkd.blocks.\1.attn.q_bias", r"decoder_vqkd.blocks.\1.attn.v_bias"),
        _query_key_value_bias,
    ),
    ("semantic_decoder.blocks.#.self_attn.out_proj.@", (r"decoder_vqkd.blocks.\1.attn.proj.\2",), _same),
    ("semantic_decoder.blocks.#.linear#.@", (r"decoder_vqkd.blocks.\1.mlp.fc\2.\3",), _same),
    ("semantic_decoder.blocks.#.norm#.@", (r"decoder_vqkd.blocks.\1.norm\2.\3",), _same),
    ("semantic_decoder.norm.@", (r"decoder_vqkd.fc_norm.\1",), _same),
    ("semantic_decoder.head.*", (r"decode_task_layer.\1",), _same),
    ("quantizer.semantic_VS", ("quantize.embedding_vqkd.weight",), _same),
    ("quantizer.pixel_VP", ("quantize.embedding_vqgan.weight",), _same),
]

_RULES = {
    "clip": _PIXEL_BRANCH + _CLIP + _SEMANTICS_AND_CODES,
    "siglip": _PIXEL_BRANCH + _SIGLIP + _SEMANTICS_AND_CODES,
}

_UNUSED = {
    "quantize.codebook_used": "the codes that its training used last",
    "scaling_layer.(shift|scale)": "maps [-1, 1] to itself",
}

_UNUSED_SIGLIP = {
    "encoder_vqkd.embeddings.position_ids": "counts positions",
    "encoder_vqkd.encoder.layers.{last}.*": "the last layer, where the states before it are read",
    "encoder_vqkd.post_layernorm.@": "comes after the last layer",
    "encoder_vqkd.head.*": "pools patches, where each patch's own state is read",
}


def source_of(name: str, config: TokenizerConfig) -> Source:
    """What our weight of this name is made of."""
    for ours, theirs, make in _RULES[config.vision]:
        if found := _match(ours, name):
            return Source(tuple(found.expand(template) for template in theirs), make)
    raise AssertionError(f"no rule makes {name}")


def reason_unused(name: str, config: TokenizerConfig) -> str:
    """Why TokenFlow's tensor of this name is not used; empty for names that no TokenFlow tokenizer has."""
    known = _UNUSED | (_UNUSED_SIGLIP if config.vision == "siglip" else {})
    reasons = (
        reason for theirs, reason in known.items() if _match(theirs.format(last=config.vision_layers), name)
    )
    return next(reasons, "")


def _match(pattern: str, name: str) -> re.Match[str] | None:
    for sign, expression in {".": r"\.", "#": r"(\d+)", "@": "(weight|bias)", "*": "(.+)"}.items():
        pattern = pattern.replace(sign, expression)
    return re.fullmatch(pattern, name)
