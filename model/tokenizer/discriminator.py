"""The patch discriminator and its hinge losses (pix2pix's PatchGAN, as in VQGAN and TokenFlow).

Shapes: B batch, H W pixels, p q patches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST_SIDE = 32


class PatchDiscriminator(nn.Module):
    """Images [B, 3, H, W] to one logit for each overlapping patch [B, 1, p, q]: high for real ones.

    Batches are normalised by their own statistics, so there is nothing that a forward pass changes.

    Raises:
        ValueError: images are too small to have a patch.
    """

    def __init__(self, channels: int = 64, layers: int = 3) -> None:
        super().__init__()
        blocks: list[nn.Module] = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        width = channels
        for layer in range(1, layers + 1):
            width_in, width = width, channels * min(2**layer, 8)
            stride = 1 if layer == layers else 2
            blocks += [
                nn.Conv2d(width_in, width, 4, stride, 1, bias=False),
                nn.BatchNorm2d(width, track_running_stats=False),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(width, 1, 4, 1, 1))
        self.apply(_initialise)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits of the patches."""
        if min(images_BCHW.shape[-2:]) < _LEAST_SIDE:
            raise ValueError(
                f"images {tuple(images_BCHW.shape)} are smaller than {_LEAST_SIDE} pixels a side"
            )
        logits_B1pq: Tensor = self.layers(images_BCHW)
        return logits_B1pq


class DiscriminatorLoss(nn.Module):
    """Hinge loss of telling images from reconstructions, as a forward pass, which is what is distributed."""

    def __init__(self, discriminator: PatchDiscriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images_BCHW: Tensor, reconstructions_BCHW: Tensor) -> Tensor:
        """A scalar."""
        real = functional.relu(1 - self.discriminator(images_BCHW)).mean()
        fake = functional.relu(1 + self.discriminator(reconstructions_BCHW.detach())).mean()
        return (real + fake) / 2


def adversarial_loss(discriminator: PatchDiscriminator, reconstructions_BCHW: Tensor) -> Tensor:
    """Hinge loss of reconstructions that should pass for images; the discriminator itself learns nothing."""
    frozen = {name: value.detach() for name, value in discriminator.named_parameters()}
    logits_B1pq: Tensor = torch.func.functional_call(discriminator, frozen, (reconstructions_BCHW,))
    return -logits_B1pq.mean()


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
