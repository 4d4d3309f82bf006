"""The two encoders: a pixel CNN and a SigLIP2 NaFlex vision transformer, on one grid.

Shapes: B batch, H W pixels, h w grid cells, N = h * w, P pixel width, S semantic width, D teacher width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Siglip2VisionConfig, Siglip2VisionModel

from model.tokenizer.config import TokenizerConfig
from model.tokenizer.layers import Downsample, Middle, ResidualBlock, group_norm


class PixelEncoder(nn.Module):
    """VQGAN's encoder: images to features, one cell for stride x stride pixels."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        widths = [config.encoder_channels * multiplier for multiplier in config.multipliers]
        layers: list[nn.Module] = [nn.PixelUnshuffle(config.stem)]
        layers += [nn.Conv2d(3 * config.stem**2, widths[0], 3, padding=1)]
        for level, (width_in, width) in enumerate(pairwise([widths[0], *widths])):
            layers += [Downsample(width_in)] if level else []
            layers += [ResidualBlock(width_in, width)]
            layers += [ResidualBlock(width, width) for _ in range(config.encoder_blocks - 1)]
        layers += [Middle(widths[-1]), group_norm(widths[-1]), nn.SiLU()]
        self.cnn = nn.Sequential(*layers)
        self.out = nn.Conv2d(widths[-1], config.pixel_width, 3, padding=1)
        stride = config.stride
        self.linear = nn.Conv2d(3, config.pixel_width, stride, stride) if config.linear_path else None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Images [B, 3, H, W] to features [B, P, h, w]."""
        features_BPhw: Tensor = self.out(self.cnn(images_BCHW))
        return features_BPhw if self.linear is None else features_BPhw + self.linear(images_BCHW)


class VisionTower(nn.Module):
    """SigLIP2 NaFlex through transformers: any size and aspect ratio, no resizing of the picture."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.patch = config.stride
        self.vision = Siglip2VisionModel(
            Siglip2VisionConfig(
                hidden_size=config.vision_width,
                intermediate_size=config.vision_intermediate,
                num_hidden_layers=config.vision_layers,
                num_attention_heads=config.vision_heads,
                num_patches=config.vision_patches,
                patch_size=config.stride,
                vision_use_head=False,
            )
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Images in [-1, 1], SigLIP's own range, to the last hidden states [B, N, D]."""
        batch, _, height, width = images_BCHW.shape
        rows, columns = height // self.patch, width // self.patch
        shapes_B2 = torch.tensor([[rows, columns]] * batch, device=images_BCHW.device)
        mask_BN = torch.ones(batch, rows * columns, dtype=torch.int64, device=images_BCHW.device)
        hidden_BND: Tensor = self.vision(
            pixel_values=patches(images_BCHW, self.patch),
            pixel_attention_mask=mask_BN,
            spatial_shapes=shapes_B2,
        ).last_hidden_state
        return hidden_BND


class SemanticProjection(nn.Sequential):
    """Linear, Tanh, Linear: the vision tower's states [B, N, D] to semantic features [B, N, S]."""

    def __init__(self, config: TokenizerConfig) -> None:
        width = config.vision_width
        super().__init__(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, config.semantic_width))


def patches(images_BCHW: Tensor, patch: int) -> Tensor:
    """Cuts images into [B, N, patch * patch * 3], the layout of SigLIP2's image processor.

    Patches run row by row; within one, values run by row, column, channel.
    """
    batch, channels, height, width = images_BCHW.shape
    cut_BNK = functional.unfold(images_BCHW, patch, stride=patch).transpose(1, 2)
    cells = (height // patch) * (width // patch)
    return cut_BNK.reshape(batch, cells, channels, patch * patch).transpose(2, 3).flatten(2)
