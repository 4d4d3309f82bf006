"""Building blocks of the pixel CNN, after VQGAN: residual, attention, down- and upsampling blocks.

Shapes: B batch, C channels, H W rows and columns of the feature map.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

NORM_EPS = 1e-6


class ResidualBlock(nn.Module):
    """Two normalised 3x3 convolutions beside a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels_in, eps=NORM_EPS)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels_out, eps=NORM_EPS)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Same rows and columns, `channels_out` channels."""
        hidden_BCHW: Tensor = self.conv1(functional.silu(self.norm1(features_BCHW)))
        hidden_BCHW = self.conv2(functional.silu(self.norm2(hidden_BCHW)))
        shortcut_BCHW: Tensor = self.shortcut(features_BCHW)
        return shortcut_BCHW + hidden_BCHW


class AttentionBlock(nn.Module):
    """Single-head attention between all cells of the coarsest feature map."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=NORM_EPS)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Same shape."""
        query, key, value = self.qkv(self.norm(features_BCHW)).flatten(2).transpose(1, 2).chunk(3, dim=-1)
        mixed_BNC = functional.scaled_dot_product_attention(query, key, value)
        mixed_BCHW: Tensor = self.out(mixed_BNC.transpose(1, 2).reshape(features_BCHW.shape))
        return features_BCHW + mixed_BCHW


class Downsample(nn.Module):
    """Halves rows and columns; pads right and bottom only, so that cells stay aligned with pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Half the rows and columns."""
        halved: Tensor = self.conv(functional.pad(features_BCHW, (0, 1, 0, 1)))
        return halved


class Upsample(nn.Module):
    """Doubles rows and columns by repetition, then smooths with a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Twice the rows and columns."""
        doubled: Tensor = self.conv(functional.interpolate(features_BCHW, scale_factor=2.0, mode="nearest"))
        return doubled


class Middle(nn.Sequential):
    """Residual, attention and residual block at the coarsest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(
            ResidualBlock(channels, channels, groups),
            AttentionBlock(channels, groups),
            ResidualBlock(channels, channels, groups),
        )


class Level(nn.Module):
    """One resolution of a CNN: residual blocks, at the coarsest each with attention, then resizing."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        blocks: int,
        attention: bool,
        resize: nn.Module,
        groups: int,
    ) -> None:
        super().__init__()
        widths_in = [channels_in] + [channels_out] * (blocks - 1)
        self.blocks = nn.ModuleList(ResidualBlock(width, channels_out, groups) for width in widths_in)
        self.attentions = nn.ModuleList(
            AttentionBlock(channels_out, groups) if attention else nn.Identity() for _ in widths_in
        )
        self.resize = resize

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """`channels_out` channels, rows and columns as `resize` leaves them."""
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            features_BCHW = attention(block(features_BCHW))
        resized_BCHW: Tensor = self.resize(features_BCHW)
        return resized_BCHW
