"""TokenFlow's forward pass written out on a checkpoint's own names with plain functions, to check against.

Runs in the dtype of the weights. Shapes: B batch, H W pixels, N tokens of a grid or of all grids, h w cells
of the finest grid, D width, S and P widths of the semantic and the pixel codes, C both, V codebook rows.
"""

from __future__ import annotations

import math

import torch
from tokenflow_weights import MULTIPLIERS, Size
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]

SIDES = {
    224: (1, 2, 4, 6, 8, 10, 12, 14),
    256: (1, 2, 4, 6, 8, 10, 12, 14, 16),
    384: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 22, 27),
}
"""Sides of the grids by the picture's side in pixels."""


def encode(weights: Weights, size: Size, images_BCHW: Tensor) -> Tensor:
    """Indices [B, N] of square images in [-1, 1], scale by scale."""
    features_BChw = features(weights, size, images_BCHW)
    codebook_VC, residual_BChw = codebook(weights), features_BChw
    indices = []
    for side in SIDES[images_BCHW.shape[-1]]:
        small = functional.interpolate(residual_BChw, size=(side, side), mode="area").flatten(2).mT
        semantic, pixel = (
            functional.normalize(small[..., :32], dim=-1),
            functional.normalize(small[..., 32:], dim=-1),
        )
        d_semantic, d_pixel = _squared(semantic, codebook_VC[:, :32]), _squared(pixel, codebook_VC[:, 32:])
        indices.append((d_semantic + d_pixel).argmin(dim=-1))
        residual_BChw = residual_BChw - _enlarged(codebook_VC[indices[-1]], side, features_BChw.shape[-1])
    return torch.cat(indices, dim=1)


def decode(weights: Weights, size: Size, indices_BN: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """Images [B, 3, H, W], unclamped, and features of the teacher's width [B, N, D] of indices."""
    sides, codebook_VC = SIDES[pixels], codebook(weights)
    parts = indices_BN.split([side**2 for side in sides], dim=1)
    codes_BChw = sum(
        _enlarged(codebook_VC[part], side, sides[-1]) for part, side in zip(parts, sides, strict=True)
    )
    assert isinstance(codes_BChw, Tensor)
    images_BCHW = pixel_decoder(weights, size, codes_BChw[:, 32:])
    if size.vision == "siglip":
        images_BCHW = functional.interpolate(images_BCHW, size=(pixels, pixels), mode="bicubic")
    return images_BCHW, semantic_decoder(weights, size, codes_BChw[:, :32])


def codebook(weights: Weights) -> Tensor:
    """Rows [V, C] with both halves of length one."""
    halves = [weights["quantize.embedding_vqkd.weight"], weights["quantize.embedding_vqgan.weight"]]
    return torch.cat([functional.normalize(half, dim=1) for half in halves], dim=1)


def features(weights: Weights, size: Size, images_BCHW: Tensor) -> Tensor:
    """What is quantised [B, C, h, w]."""
    tower = clip if size.vision == "clip" else siglip
    semantic_BNS = _task(weights, "encode_task_layer", tower(weights, size, images_BCHW))
    side = math.isqrt(semantic_BNS.shape[1])
    if size.vision == "siglip":
        images_BCHW = functional.interpolate(images_BCHW, size=(16 * side, 16 * side), mode="bicubic")
    pixel_BPhw = pixel_encoder(weights, images_BCHW)
    return torch.cat([semantic_BNS.mT.unflatten(2, (side, side)), pixel_BPhw], dim=1)


# Vision towers ------------------------------------------------------------------------------------------


def clip(weights: Weights, size: Size, images_BCHW: Tensor) -> Tensor:
    """CLIP's normalised patch states [B, N, D]; images are not normalised."""
    w = _under(weights, "encoder_vqkd")
    patches_BDhw = functional.conv2d(images_BCHW, w["conv1.weight"], stride=size.patch)
    hidden = _with_first(w["class_embedding"], patches_BDhw)
    hidden = hidden + positions(w["positional_embedding"], patches_BDhw.shape[-1])
    hidden = _layer_norm(w, "ln_pre", hidden, 1e-5)
    for layer in range(size.layers):
        block = _under(w, f"transformer.resblocks.{layer}")
        normed = _layer_norm(block, "ln_1", hidden, 1e-5)
        packed = functional.linear(normed, block["attn.in_proj_weight"], block["attn.in_proj_bias"])
        hidden = hidden + _linear(block, "attn.out_proj", _mix(packed, size.heads))
        wide = _linear(block, "mlp.c_fc", _layer_norm(block, "ln_2", hidden, 1e-5))
        hidden = hidden + _linear(block, "mlp.c_proj", wide * torch.sigmoid(1.702 * wide))
    return _layer_norm(w, "ln_post", hidden, 1e-5)[:, 1:]


def siglip(weights: Weights, size: Size, images_BCHW: Tensor) -> Tensor:
    """SigLIP's states [B, N, D] before its last layer."""
    w = _under(weights, "encoder_vqkd")
    w = _under(w, "vision_model") or w
    unit = ((images_BCHW + 1) * 127.5).clamp(0, 255) / 255
    normed = (unit - weights["scaling_layer.shift"]) / weights["scaling_layer.scale"]
    patches_BDhw = _convolution(w, "embeddings.patch_embedding", normed, stride=size.patch)
    hidden = patches_BDhw.flatten(2).mT + w["embeddings.position_embedding.weight"]
    for layer in range(size.layers - 1):
        block = _under(w, f"encoder.layers.{layer}")
        normed = _layer_norm(block, "layer_norm1", hidden, 1e-6)
        packed = torch.cat([_linear(block, f"self_attn.{part}_proj", normed) for part in "qkv"], dim=-1)
        hidden = hidden + _linear(block, "self_attn.out_proj", _mix(packed, size.heads))
        wide = _linear(block, "mlp.fc1", _layer_norm(block, "layer_norm2", hidden, 1e-6))
        hidden = hidden + _linear(block, "mlp.fc2", functional.gelu(wide, approximate="tanh"))
    return hidden


def positions(table_ND: Tensor, side: int) -> Tensor:
    """A square grid's positions, the first row aside, resized by a factor that is a tenth of a cell long."""
    own = math.isqrt(len(table_ND) - 1)
    if own == side:
        return table_ND
    grid = table_ND[1:].T.unflatten(1, (own, own))[None]
    factor = (side + 0.1) / own
    resized = functional.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([table_ND[:1], resized[0].flatten(1).T])


# Semantic decoder ---------------------------------------------------------------------------------------


def semantic_decoder(weights: Weights, size: Size, codes_BShw: Tensor) -> Tensor:
    """Features of the teacher's width [B, N, D]."""
    w = _under(weights, "decoder_vqkd")
    patches_BDhw = _convolution(w, "patch_embed.proj", codes_BShw)
    hidden = _with_first(w["cls_token"].flatten(), patches_BDhw)
    hidden = hidden + positions(w["pos_embed"][0], codes_BShw.shape[-1])
    for layer in range(size.decoder_layers):
        block = _under(w, f"blocks.{layer}")
        bias = torch.cat([block["attn.q_bias"], 0 * block["attn.q_bias"], block["attn.v_bias"]])
        packed = functional.linear(_layer_norm(block, "norm1", hidden, 1e-6), block["attn.qkv.weight"], bias)
        hidden = hidden + _linear(block, "attn.proj", _mix(packed, 12))
        wide = functional.gelu(_linear(block, "mlp.fc1", _layer_norm(block, "norm2", hidden, 1e-6)))
        hidden = hidden + _linear(block, "mlp.fc2", wide)
    return _task(weights, "decode_task_layer", _layer_norm(w, "fc_norm", hidden[:, 1:], 1e-6))


# Pixel branch -------------------------------------------------------------------------------------------


def pixel_encoder(weights: Weights, images_BCHW: Tensor) -> Tensor:
    """Pixel features [B, P, h, w]."""
    w = _under(weights, "encoder")
    hidden = _convolution(w, "conv_in", images_BCHW, padding=1)
    for level in range(len(MULTIPLIERS)):
        hidden = _level(_under(w, f"conv_blocks.{level}"), hidden, 2)
        if level < len(MULTIPLIERS) - 1:
            padded = functional.pad(hidden, (0, 1, 0, 1))
            hidden = _convolution(w, f"conv_blocks.{level}.downsample.conv", padded, stride=2)
    hidden = _normed_silu(w, "norm_out", _middle(w, hidden))
    return _convolution(weights, "quant_conv", _convolution(w, "conv_out", hidden, padding=1))


def pixel_decoder(weights: Weights, size: Size, codes_BPhw: Tensor) -> Tensor:
    """Images [B, 3, 16 h, 16 w]."""
    w = _under(weights, "decoder")
    hidden = _convolution(w, "conv_in", _convolution(weights, "post_quant_conv", codes_BPhw), padding=1)
    hidden = _middle(w, hidden)
    for level in range(len(MULTIPLIERS)):
        hidden = _level(_under(w, f"conv_blocks.{level}"), hidden, size.decoder_blocks + 1)
        if level < len(MULTIPLIERS) - 1:
            doubled = hidden.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            hidden = _convolution(w, f"conv_blocks.{level}.upsample.conv", doubled, padding=1)
    return _convolution(w, "conv_out", _normed_silu(w, "norm_out", hidden), padding=1)


def _level(w: Weights, hidden: Tensor, blocks: int) -> Tensor:
    for block in range(blocks):
        hidden = _residual(_under(w, f"res.{block}"), hidden)
        attention = _under(w, f"attn.{block}")
        hidden = _attention(attention, hidden) if attention else hidden
    return hidden


def _middle(w: Weights, hidden: Tensor) -> Tensor:
    hidden = _attention(_under(w, "mid.1"), _residual(_under(w, "mid.0"), hidden))
    return _residual(_under(w, "mid.2"), hidden)


def _residual(w: Weights, hidden: Tensor) -> Tensor:
    inner = _convolution(w, "conv1", _normed_silu(w, "norm1", hidden), padding=1)
    inner = _convolution(w, "conv2", _normed_silu(w, "norm2", inner), padding=1)
    return inner + (_convolution(w, "nin_shortcut", hidden) if "nin_shortcut.weight" in w else hidden)


def _attention(w: Weights, hidden: Tensor) -> Tensor:
    normed = functional.group_norm(hidden, 32, w["norm.weight"], w["norm.bias"], 1e-6)
    query, key, value = (_convolution(w, part, normed).flatten(2) for part in "qkv")
    share = torch.einsum("bcq,bck->bqk", query, key).div(math.sqrt(hidden.shape[1])).softmax(dim=-1)
    mixed = torch.einsum("bqk,bck->bcq", share, value).reshape(hidden.shape)
    return hidden + _convolution(w, "proj_out", mixed)


def _normed_silu(w: Weights, name: str, hidden: Tensor) -> Tensor:
    normed = functional.group_norm(hidden, 32, w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)
    return normed * torch.sigmoid(normed)


# Parts --------------------------------------------------------------------------------------------------


def _under(weights: Weights, prefix: str) -> Weights:
    start = prefix + "."
    return {name[len(start) :]: value for name, value in weights.items() if name.startswith(start)}


def _mix(packed: Tensor, heads: int) -> Tensor:
    """Attention of packed queries, keys and values [B, N, 3 D]."""
    query, key, value = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in packed.chunk(3, dim=-1))
    share = (query @ key.mT / math.sqrt(query.shape[-1])).softmax(dim=-1)
    return (share @ value).transpose(1, 2).flatten(2)


def _with_first(first_D: Tensor, patches_BDhw: Tensor) -> Tensor:
    first_BND = first_D.expand(len(patches_BDhw), 1, -1)
    return torch.cat([first_BND, patches_BDhw.flatten(2).mT], dim=1)


def _task(w: Weights, name: str, hidden: Tensor) -> Tensor:
    return _linear(w, f"{name}.2", _linear(w, f"{name}.0", hidden).tanh())


def _squared(vectors: Tensor, rows: Tensor) -> Tensor:
    """Squared distances of vectors to rows, both of length one."""
    return 2 - 2 * vectors @ rows.T


def _enlarged(codes_BNC: Tensor, side: int, last: int) -> Tensor:
    grid = codes_BNC.mT.unflatten(2, (side, side))
    return functional.interpolate(grid, size=(last, last), mode="bicubic", align_corners=False)


def _convolution(w: Weights, name: str, hidden: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    return functional.conv2d(hidden, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding)


def _linear(w: Weights, name: str, hidden: Tensor) -> Tensor:
    return functional.linear(hidden, w[f"{name}.weight"], w[f"{name}.bias"])


def _layer_norm(w: Weights, name: str, hidden: Tensor, eps: float) -> Tensor:
    weight = w[f"{name}.weight"]
    return functional.layer_norm(hidden, weight.shape, weight, w[f"{name}.bias"], eps)
