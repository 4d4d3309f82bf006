"""The two decoders: a CNN from pixel codes to images, a small ViT from semantic codes to teacher features.

Shapes: B batch, H W pixels, h w grid cells, N = h * w, P pixel width, S semantic width, D width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from model.tokenizer.config import TokenizerConfig
from model.tokenizer.layers import NORM_EPS, Level, Middle, Upsample
from model.tokenizer.positions import learned_positions, sincos_positions


class PixelDecoder(nn.Module):
    """VQGAN's decoder: pixel codes to images."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        groups = config.norm_groups
        widths = [config.decoder_channels * multiplier for multiplier in reversed(config.multipliers)]
        self.project = nn.Conv2d(config.pixel_width, config.latent_channels, 1)
        self.enter = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.middle = Middle(widths[0], groups)
        self.levels = nn.ModuleList()
        for width_in, width in pairwise([widths[0], *widths]):
            coarsest, finest = not self.levels, len(self.levels) == len(widths) - 1
            resize = nn.Identity() if finest else Upsample(width)
            self.levels.append(Level(width_in, width, config.decoder_blocks + 1, coarsest, resize, groups))
        self.leave = nn.Sequential(
            nn.GroupNorm(groups, widths[-1], eps=NORM_EPS),
            nn.SiLU(),
            nn.Conv2d(widths[-1], 3 * config.stem**2, 3, padding=1),
        )
        self.unfold = nn.PixelShuffle(config.stem)
        stride = config.cnn_stride
        self.linear = (
            nn.ConvTranspose2d(config.pixel_width, 3, stride, stride) if config.linear_path else None
        )

    @property
    def last(self) -> nn.Conv2d:
        """The convolution that gives pixels."""
        convolution = self.leave[-1]
        assert isinstance(convolution, nn.Conv2d)
        return convolution

    def forward(self, codes_BPhw: Tensor) -> Tensor:
        """Codes [B, P, h, w] to images [B, 3, H, W]."""
        hidden_BDhw: Tensor = self.middle(self.enter(self.project(codes_BPhw)))
        for level in self.levels:
            hidden_BDhw = level(hidden_BDhw)
        images_BCHW: Tensor = self.unfold(self.leave(hidden_BDhw))
        return images_BCHW if self.linear is None else images_BCHW + self.linear(codes_BPhw)


class SemanticDecoder(nn.Module):
    """A small ViT: semantic codes [B, S, h, w] to features [B, N, D] of the teacher's width, on any grid.

    With a learned table of positions (TokenFlow) a class token goes along.
    """

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width = config.semantic_decoder_width
        self.embed = nn.Linear(config.semantic_width, width)
        count = config.semantic_decoder_patches
        self.positions_ND = nn.Parameter(0.02 * torch.randn(count, width)) if count else None
        self.class_D = nn.Parameter(0.02 * torch.randn(width)) if count else None
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width,
                config.semantic_decoder_heads,
                dim_feedforward=4 * width,
                dropout=0.0,
                activation="gelu",
                layer_norm_eps=1e-6,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.semantic_decoder_layers)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, config.teacher_width))

    def forward(self, codes_BShw: Tensor) -> Tensor:
        """Features in the teacher's order of patches, row by row."""
        cells = codes_BShw.shape[-2] * codes_BShw.shape[-1]
        hidden_BND = self._embed(codes_BShw)
        for block in self.blocks:
            hidden_BND = block(hidden_BND)
        features_BND: Tensor = self.head(self.norm(hidden_BND[:, -cells:]))
        return features_BND

    def _embed(self, codes_BShw: Tensor) -> Tensor:
        rows, columns = codes_BShw.shape[-2:]
        hidden_BND: Tensor = self.embed(codes_BShw.flatten(2).transpose(1, 2))
        if self.positions_ND is None or self.class_D is None:
            return hidden_BND + sincos_positions(rows, columns, hidden_BND.shape[-1]).to(hidden_BND)
        hidden_BND = hidden_BND + learned_positions(self.positions_ND, rows, columns)
        return torch.cat([self.class_D.expand(len(hidden_BND), 1, -1), hidden_BND], dim=1)
