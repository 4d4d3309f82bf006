"""The two decoders: a CNN from pixel codes to images, a small ViT from semantic codes to teacher features.

Shapes: B batch, H W pixels, h w grid cells, N = h * w, P pixel width, S semantic width, D width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from model.tokenizer.config import TokenizerConfig
from model.tokenizer.layers import Middle, ResidualBlock, Upsample, group_norm


class PixelDecoder(nn.Module):
    """VQGAN's decoder: pixel codes to images."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        widths = [config.decoder_channels * multiplier for multiplier in reversed(config.multipliers)]
        layers: list[nn.Module] = [nn.Conv2d(config.pixel_width, widths[0], 3, padding=1), Middle(widths[0])]
        for level, (width_in, width) in enumerate(pairwise([widths[0], *widths])):
            layers += [Upsample(width_in)] if level else []
            layers += [ResidualBlock(width_in, width)]
            layers += [ResidualBlock(width, width) for _ in range(config.decoder_blocks - 1)]
        self.cnn = nn.Sequential(*layers, group_norm(widths[-1]), nn.SiLU())
        self.out = nn.Conv2d(widths[-1], 3 * config.stem**2, 3, padding=1)
        self.unfold = nn.PixelShuffle(config.stem)
        stride = config.stride
        self.linear = (
            nn.ConvTranspose2d(config.pixel_width, 3, stride, stride) if config.linear_path else None
        )

    def forward(self, codes_BPhw: Tensor) -> Tensor:
        """Codes [B, P, h, w] to images [B, 3, H, W]."""
        images_BCHW: Tensor = self.unfold(self.out(self.cnn(codes_BPhw)))
        return images_BCHW if self.linear is None else images_BCHW + self.linear(codes_BPhw)


class SemanticDecoder(nn.Module):
    """A small ViT: semantic codes [B, S, h, w] to features [B, N, D] of the teacher's width, on any grid."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width = config.semantic_decoder_width
        self.embed = nn.Linear(config.semantic_width, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                config.semantic_decoder_heads,
                dim_feedforward=4 * width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.semantic_decoder_layers)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, config.vision_width)

    def forward(self, codes_BShw: Tensor) -> Tensor:
        """Features in the teacher's order of patches, row by row."""
        rows, columns = codes_BShw.shape[-2:]
        hidden_BND = self.embed(codes_BShw.flatten(2).transpose(1, 2))
        hidden_BND = hidden_BND + sincos_positions(rows, columns, hidden_BND.shape[-1]).to(hidden_BND)
        for block in self.blocks:
            hidden_BND = block(hidden_BND)
        features_BND: Tensor = self.head(self.norm(hidden_BND))
        return features_BND


def sincos_positions(rows: int, columns: int, width: int) -> Tensor:
    """Fixed positions [rows * columns, width] of a rectangular grid: half the channels for each axis."""
    frequencies = 10000.0 ** -(torch.arange(width // 4) / (width // 4))
    row_RF = torch.arange(rows)[:, None] * frequencies
    column_CF = torch.arange(columns)[:, None] * frequencies
    row_RD = torch.cat([row_RF.sin(), row_RF.cos()], dim=1)[:, None].expand(-1, columns, -1)
    column_CD = torch.cat([column_CF.sin(), column_CF.cos()], dim=1)[None].expand(rows, -1, -1)
    return torch.cat([row_RD, column_CD], dim=2).flatten(0, 1)
