"""The sizes of a TokenFlow tokenizer, read off the shapes of its tensors.

Heads are no part of a file and are TokenFlow's own: one for each 64 channels of CLIP, 16 of SigLIP, 12 of the
semantic decoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from model.tokenizer.config import TokenizerConfig

Shape = tuple[int, ...]

CLIP_HEAD = 64
"""Channels of one head of CLIP."""

CLIP_PATCHES = "encoder_vqkd.conv1.weight"
SIGLIP_PATCHES = "encoder_vqkd.embeddings.patch_embedding.weight"


def infer_config(shapes: Mapping[str, Shape]) -> TokenizerConfig:
    """The config whose tokenizer has tensors of these shapes; SigLIP's without their `vision_model.`.

    What no shape tells is TokenFlow's preset.

    Raises:
        ValueError: a tensor that tells a size is missing or has another number of dimensions.
    """
    read = _Reader(shapes)
    if CLIP_PATCHES in shapes:
        config = _clip(read, TokenizerConfig.preset("tokenflow-clipb"))
    elif SIGLIP_PATCHES in shapes:
        config = _siglip(read, TokenizerConfig.preset("tokenflow-siglip"))
    else:
        raise ValueError(f"no TokenFlow tokenizer: neither {CLIP_PATCHES} nor {SIGLIP_PATCHES} is there")
    config = _semantic_decoder(read, _codes(read, _pixel_branch(read, config)))
    same = config.vision_patch == config.cnn_stride
    return dataclasses.replace(config, vision_patch=None) if same else config


class _Reader:
    """Sizes by the names of tensors."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.shapes = shapes

    def shape(self, name: str, dimensions: int) -> Shape:
        """A tensor's shape, which has so many dimensions."""
        found = self.shapes.get(name)
        if found is None or len(found) != dimensions or 0 in found:
            what = "is missing" if found is None else f"is {found}, which should have {dimensions} dimensions"
            raise ValueError(f"no TokenFlow tokenizer: {name} {what}")
        return found

    def count(self, prefix: str) -> int:
        """How many numbered parts there are below a name."""
        start = f"{prefix}."
        return len({name[len(start) :].split(".")[0] for name in self.shapes if name.startswith(start)})


def _clip(read: _Reader, config: TokenizerConfig) -> TokenizerConfig:
    width, _, patch, _ = read.shape(CLIP_PATCHES, 4)
    return dataclasses.replace(
        config,
        vision_patch=patch,
        vision_width=width,
        vision_heads=max(1, width // CLIP_HEAD),
        vision_layers=read.count("encoder_vqkd.transformer.resblocks"),
        vision_patches=read.shape("encoder_vqkd.positional_embedding", 2)[0] - 1,
        vision_intermediate=read.shape("encoder_vqkd.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
    )


def _siglip(read: _Reader, config: TokenizerConfig) -> TokenizerConfig:
    width, _, patch, _ = read.shape(SIGLIP_PATCHES, 4)
    return dataclasses.replace(
        config,
        vision_patch=patch,
        vision_width=width,
        # The states before the last layer are what TokenFlow reads.
        vision_layers=read.count("encoder_vqkd.encoder.layers") - 1,
        vision_patches=read.shape("encoder_vqkd.embeddings.position_embedding.weight", 2)[0],
        vision_intermediate=read.shape("encoder_vqkd.encoder.layers.0.mlp.fc1.weight", 2)[0],
    )


def _pixel_branch(read: _Reader, config: TokenizerConfig) -> TokenizerConfig:
    channels = read.shape("encoder.conv_in.weight", 4)[0]
    widths = [
        read.shape(f"encoder.conv_blocks.{level}.res.0.conv1.weight", 4)[0]
        for level in range(read.count("encoder.conv_blocks"))
    ]
    if not widths or any(width % channels for width in widths):
        raise ValueError(f"no TokenFlow tokenizer: widths {widths} are no multiples of the first, {channels}")
    return dataclasses.replace(
        config,
        multipliers=tuple(width // channels for width in widths),
        latent_channels=read.shape("quant_conv.weight", 4)[1],
        encoder_channels=channels,
        encoder_blocks=read.count("encoder.conv_blocks.0.res"),
        decoder_channels=read.shape("decoder.conv_out.weight", 4)[1] * channels // widths[0],
        decoder_blocks=read.count("decoder.conv_blocks.0.res") - 1,
    )


def _codes(read: _Reader, config: TokenizerConfig) -> TokenizerConfig:
    codebook_size, semantic_width = read.shape("quantize.embedding_vqkd.weight", 2)
    return dataclasses.replace(
        config,
        codebook_size=codebook_size,
        semantic_width=semantic_width,
        pixel_width=read.shape("quantize.embedding_vqgan.weight", 2)[1],
    )


def _semantic_decoder(read: _Reader, config: TokenizerConfig) -> TokenizerConfig:
    _, positions, width = read.shape("decoder_vqkd.pos_embed", 3)
    return dataclasses.replace(
        config,
        teacher_width=read.shape("decode_task_layer.2.weight", 2)[0],
        semantic_decoder_width=width,
        semantic_decoder_layers=read.count("decoder_vqkd.blocks"),
        semantic_decoder_patches=positions - 1,
    )
