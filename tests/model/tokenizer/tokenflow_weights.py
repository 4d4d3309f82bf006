"""TokenFlow's checkpoints: names and shapes of their tensors at any size, and random weights that fit.

`CLIPB_ENHANCED` and `SIGLIP` are the published files, `CLIPB` the first one before its decoder was enlarged;
`SMALL_*` keep their structure at widths that run in a second. Heads are no part of a file: CLIP has one for
each 64 channels, SigLIP 16, the semantic decoder 12.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Shape = tuple[int, ...]
MULTIPLIERS = (1, 1, 2, 2, 4)


@dataclass(frozen=True)
class Size:
    """Widths and depths of a checkpoint; the defaults are those of the 224-pixel CLIP file."""

    vision: str = "clip"
    channels: int = 128
    decoder_channels: int = 128
    decoder_blocks: int = 2
    latent: int = 256
    codes: int = 32768
    width: int = 768
    layers: int = 12
    hidden: int = 3072
    patch: int = 16
    side: int = 14
    decoder_layers: int = 3
    teacher: int = 512

    @property
    def heads(self) -> int:
        return self.width // 64 if self.vision == "clip" else 16


CLIPB = Size()
CLIPB_ENHANCED = replace(CLIPB, decoder_channels=256, decoder_blocks=4)
SIGLIP = replace(CLIPB, vision="siglip", width=1152, layers=27, hidden=4304, patch=14, side=27, teacher=1152)
SMALL_CLIPB = Size(channels=32, decoder_channels=32, latent=24, codes=512, width=192, layers=2, hidden=768)
SMALL_CLIPB_ENHANCED = replace(SMALL_CLIPB, decoder_channels=64, decoder_blocks=3)
SMALL_SIGLIP = replace(
    SMALL_CLIPB, vision="siglip", width=96, layers=3, hidden=176, patch=14, side=27, teacher=96
)


def shapes(size: Size, vision_prefix: str = "vision_model.") -> dict[str, Shape]:
    """Every name of a checkpoint; transformers 5 dropped the prefix that transformers 4 gives SigLIP's."""
    names = _encoder(size) | _decoder(size) | _semantic_decoder(size)
    names |= _convolution("quant_conv", size.latent, 8, 1) | _convolution(
        "post_quant_conv", 8, size.latent, 1
    )
    vision = _clip(size) if size.vision == "clip" else _siglip(size, vision_prefix)
    names |= _under("encoder_vqkd", vision)
    names |= _task("encode_task_layer", size.width, 32) | _task("decode_task_layer", size.width, size.teacher)
    names |= {"quantize.embedding_vqkd.weight": (size.codes, 32)}
    names |= {"quantize.embedding_vqgan.weight": (size.codes, 8), "quantize.codebook_used": (131072,)}
    if size.vision == "siglip":
        names |= {"scaling_layer.shift": (1, 3, 1, 1), "scaling_layer.scale": (1, 3, 1, 1)}
    return names


def random_weights(size: Size, seed: int = 0, vision_prefix: str = "vision_model.") -> dict[str, Tensor]:
    """Weights that keep the scale of what passes through them, so that no branch drowns another."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _random(name, shape, generator) for name, shape in shapes(size, vision_prefix).items()}


def _random(name: str, shape: Shape, generator: torch.Generator) -> Tensor:
    if name.startswith("scaling_layer."):
        return torch.full(shape, 0.5)
    if name == "quantize.codebook_used":
        return torch.zeros(shape)
    noise = torch.randn(shape, generator=generator)
    if name.startswith("quantize."):
        lengths = 0.9 + 0.2 * torch.rand(len(noise), 1, generator=generator)
        return lengths * noise / noise.norm(dim=1, keepdim=True)
    if len(shape) == 1 and name.endswith("weight"):
        return 1 + 0.1 * noise
    if "pos" in name or "class" in name or "token" in name or "probe" in name:
        return 0.5 * noise
    if len(shape) == 1:
        return 0.1 * noise
    return noise / math.sqrt(math.prod(shape[1:]))


def _encoder(size: Size) -> dict[str, Shape]:
    widths = [size.channels * multiplier for multiplier in MULTIPLIERS]
    names = _convolution("conv_in", 3, size.channels, 3)
    for level, (width_in, width) in enumerate(zip([size.channels, *widths], widths, strict=False)):
        coarsest = level == len(widths) - 1
        names |= _level(f"conv_blocks.{level}", width_in, width, 2, coarsest)
        names |= {} if coarsest else _convolution(f"conv_blocks.{level}.downsample.conv", width, width, 3)
    names |= _middle(widths[-1]) | _norm("norm_out", widths[-1])
    return _under("encoder", names | _convolution("conv_out", widths[-1], size.latent, 3))


def _decoder(size: Size) -> dict[str, Shape]:
    widths = [size.decoder_channels * multiplier for multiplier in reversed(MULTIPLIERS)]
    names = _convolution("conv_in", size.latent, widths[0], 3) | _middle(widths[0])
    for level, (width_in, width) in enumerate(zip([widths[0], *widths], widths, strict=False)):
        names |= _level(f"conv_blocks.{level}", width_in, width, size.decoder_blocks + 1, level == 0)
        finest = level == len(widths) - 1
        names |= {} if finest else _convolution(f"conv_blocks.{level}.upsample.conv", width, width, 3)
    names |= _norm("norm_out", widths[-1]) | _convolution("conv_out", widths[-1], 3, 3)
    return _under("decoder", names)


def _level(name: str, width_in: int, width: int, blocks: int, attention: bool) -> dict[str, Shape]:
    names: dict[str, Shape] = {}
    for block in range(blocks):
        names |= _residual(f"{name}.res.{block}", width if block else width_in, width)
        names |= _attention(f"{name}.attn.{block}", width) if attention else {}
    return names


def _middle(width: int) -> dict[str, Shape]:
    return _residual("mid.0", width, width) | _attention("mid.1", width) | _residual("mid.2", width, width)


def _residual(name: str, width_in: int, width: int) -> dict[str, Shape]:
    names = _norm(f"{name}.norm1", width_in) | _convolution(f"{name}.conv1", width_in, width, 3)
    names |= _norm(f"{name}.norm2", width) | _convolution(f"{name}.conv2", width, width, 3)
    return names | ({} if width_in == width else _convolution(f"{name}.nin_shortcut", width_in, width, 1))


def _attention(name: str, width: int) -> dict[str, Shape]:
    names = _norm(f"{name}.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        names |= _convolution(f"{name}.{part}", width, width, 1)
    return names


def _clip(size: Size) -> dict[str, Shape]:
    width = size.width
    names: dict[str, Shape] = {
        "class_embedding": (width,),
        "conv1.weight": (width, 3, size.patch, size.patch),
    }
    names |= {"positional_embedding": (size.side**2 + 1, width)}
    names |= _norm("ln_pre", width) | _norm("ln_post", width)
    for layer in range(size.layers):
        block = _norm("ln_1", width) | _norm("ln_2", width) | _packed_attention("attn", width)
        block |= _linear("mlp.c_fc", width, size.hidden) | _linear("mlp.c_proj", size.hidden, width)
        names |= _under(f"transformer.resblocks.{layer}", block)
    return names


def _siglip(size: Size, prefix: str) -> dict[str, Shape]:
    width = size.width
    names = _convolution("embeddings.patch_embedding", 3, width, size.patch)
    names |= {"embeddings.position_embedding.weight": (size.side**2, width)}
    for layer in range(size.layers):
        block = _norm("layer_norm1", width) | _norm("layer_norm2", width)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            block |= _linear(f"self_attn.{part}", width, width)
        block |= _linear("mlp.fc1", width, size.hidden) | _linear("mlp.fc2", size.hidden, width)
        names |= _under(f"encoder.layers.{layer}", block)
    head = _packed_attention("attention", width) | _norm("layernorm", width) | {"probe": (1, 1, width)}
    head |= _linear("mlp.fc1", width, size.hidden) | _linear("mlp.fc2", size.hidden, width)
    names |= _norm("post_layernorm", width) | _under("head", head)
    return {prefix + name: shape for name, shape in names.items()}


def _semantic_decoder(size: Size) -> dict[str, Shape]:
    width, side = size.width, 14 if size.vision == "clip" else 27
    names: dict[str, Shape] = {"cls_token": (1, 1, width), "pos_embed": (1, side**2 + 1, width)}
    names |= _convolution("patch_embed.proj", 32, width, 1) | _norm("fc_norm", width)
    for layer in range(size.decoder_layers):
        block = _norm("norm1", width) | _norm("norm2", width) | _linear("attn.proj", width, width)
        block |= {"attn.qkv.weight": (3 * width, width), "attn.q_bias": (width,), "attn.v_bias": (width,)}
        block |= _linear("mlp.fc1", width, 4 * width) | _linear("mlp.fc2", 4 * width, width)
        names |= _under(f"blocks.{layer}", block)
    return _under("decoder_vqkd", names)


def _packed_attention(name: str, width: int) -> dict[str, Shape]:
    names = {f"{name}.in_proj_weight": (3 * width, width), f"{name}.in_proj_bias": (3 * width,)}
    return names | _linear(f"{name}.out_proj", width, width)


def _task(name: str, width: int, width_out: int) -> dict[str, Shape]:
    return _linear(f"{name}.0", width, width) | _linear(f"{name}.2", width, width_out)


def _convolution(name: str, width_in: int, width: int, kernel: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width, width_in, kernel, kernel), f"{name}.bias": (width,)}


def _linear(name: str, width_in: int, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width, width_in), f"{name}.bias": (width,)}


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _under(prefix: str, names: dict[str, Shape]) -> dict[str, Shape]:
    return {f"{prefix}.{name}": shape for name, shape in names.items()}
