"""LPIPS, the distance of two pictures in the features of VGG-16 (Zhang et al. 2018).

Shapes: B batch, 3 channels, H W pixels.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _NoTrainLpips

from infra.errors import UserError
from jobs.tokenizer.weights import StateDict, load_weights

LEAST_SIDE = 16
"""Pixels per side that VGG-16's four poolings leave one of."""

VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
"""torchvision's `VGG16_Weights.IMAGENET1K_V1`."""

_WHERE = "tokenizer.vgg16"
_MEND = "Name a local file with torchvision's vgg16-397923af.pth, or set losses.perceptual to 0"


class Lpips(nn.Module):
    """LPIPS with torchmetrics' VGG-16 and linear weights: a loss to train on and a figure to report.

    Its weights are fixed and it stays in evaluation mode; gradients flow to the pictures. They are buffers
    that are not persistent, so no optimizer, checkpoint or process group sees them, yet they move with `to`.
    """

    def __init__(self, features: StateDict) -> None:
        """`features`: torchvision's VGG-16 state dict; of its keys those that start with `features.`."""
        super().__init__()
        # The backbone is filled from `features`; the random numbers it starts with are no one's business.
        with torch.random.fork_rng(devices=[]):
            self._net = _NoTrainLpips(net="vgg", pnet_rand=True)
        _fill(self._net, features)
        _make_buffers(self._net)

    @classmethod
    def load(cls, file: str | None, where: str = _WHERE, mend: str = _MEND) -> Self:
        """With VGG-16 from a local file of torchvision's state dict, or from torch's cache or a download.

        Raises:
            UserError: there is no such file, nothing can be downloaded, or it holds other weights; the
                message names keys that are missing. `where` is the setting that names the file, and
                `mend` says what else can be done.
        """
        try:
            return cls(load_weights(file, VGG16_URL, where, mend))
        except ValueError as error:
            raise UserError(str(error), file or VGG16_URL, mend) from error

    def forward(self, images_BCHW: Tensor, reconstructions_BCHW: Tensor) -> Tensor:
        """The distance of each pair of pictures in [-1, 1]: [B], 0 for equal ones.

        Raises:
            ValueError: shapes differ, or a side has fewer than LEAST_SIDE pixels.
        """
        shape, other = tuple(images_BCHW.shape), tuple(reconstructions_BCHW.shape)
        if shape != other or len(shape) != 4 or shape[1] != 3 or min(shape[2:]) < LEAST_SIDE:
            raise ValueError(
                f"LPIPS compares pictures [batch, 3, height, width] of {LEAST_SIDE} pixels per side or more, "
                f"got {shape} and {other}"
            )
        distances_B111: Tensor = self._net(images_BCHW, reconstructions_BCHW)
        return distances_B111.flatten()


def _fill(net: _NoTrainLpips, features: StateDict) -> None:
    """Copy VGG-16's convolutions; torchmetrics names them by slice, `slice2.5` for `features.5`.

    Raises:
        ValueError: some are missing or of another shape; names them.
    """
    wanted = {f"features.{name.split('.', 1)[1]}": weight for name, weight in net.net.named_parameters()}
    wrong = [n for n, weight in wanted.items() if n not in features or features[n].shape != weight.shape]
    if wrong:
        shown = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise ValueError(f"not VGG-16's weights: missing or of another shape are {shown}")
    for name, weight in wanted.items():
        weight.data.copy_(features[name])


def _make_buffers(net: nn.Module) -> None:
    for part in net.modules():
        for name, weight in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, weight.detach(), persistent=False)
