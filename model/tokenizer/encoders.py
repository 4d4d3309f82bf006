"""From images to what is quantised: the pixel CNN, and the projection of the semantic encoder's states.

Shapes: B batch, H W pixels, h w grid cells, N = h * w, P pixel width, S semantic width, D vision width.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from model.tokenizer.config import TokenizerConfig
from model.tokenizer.layers import NORM_EPS, Downsample, Level, Middle


class PixelEncoder(nn.Module):
    """VQGAN's encoder: images to features, one cell for stride x stride pixels."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        groups = config.norm_groups
        widths = [config.encoder_channels * multiplier for multiplier in config.multipliers]
        self.enter = nn.Sequential(
            nn.PixelUnshuffle(config.stem),
            nn.Conv2d(3 * config.stem**2, config.encoder_channels, 3, padding=1),
        )
        self.levels = nn.ModuleList()
        for width_in, width in pairwise([config.encoder_channels, *widths]):
            coarsest = len(self.levels) == len(widths) - 1
            resize = nn.Identity() if coarsest else Downsample(width)
            self.levels.append(Level(width_in, width, config.encoder_blocks, coarsest, resize, groups))
        self.middle = Middle(widths[-1], groups)
        self.leave = nn.Sequential(
            nn.GroupNorm(groups, widths[-1], eps=NORM_EPS),
            nn.SiLU(),
            nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1),
        )
        self.project = nn.Conv2d(config.latent_channels, config.pixel_width, 1)
        stride = config.cnn_stride
        self.linear = nn.Conv2d(3, config.pixel_width, stride, stride) if config.linear_path else None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Images [B, 3, H, W] to features [B, P, h, w]."""
        hidden_BDhw: Tensor = self.enter(images_BCHW)
        for level in self.levels:
            hidden_BDhw = level(hidden_BDhw)
        features_BPhw: Tensor = self.project(self.leave(self.middle(hidden_BDhw)))
        return features_BPhw if self.linear is None else features_BPhw + self.linear(images_BCHW)


class SemanticProjection(nn.Sequential):
    """Linear, Tanh, Linear: the semantic encoder's states [B, N, D] to semantic features [B, N, S]."""

    def __init__(self, config: TokenizerConfig) -> None:
        width = config.vision_width
        super().__init__(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, config.semantic_width))
