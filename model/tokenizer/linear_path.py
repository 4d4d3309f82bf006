"""The start of the linear path around the two CNNs: principal components of pixel patches.

A CNN needs many thousand steps before it codes colours and edges; the best linear code of a patch is
known at once. With `config.linear_path`, training starts there and the CNNs learn what is better.

Shapes: B batch, H W pixels, M patches, K = 3 * stride * stride values of a patch, P pixel width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.tokenizer.decoders import PixelDecoder
from model.tokenizer.encoders import PixelEncoder

LENGTH_OF_A_SCALE = 2 / 3
"""Mean length of the features for each scale: codes have length one, and each scale adds one."""


@torch.no_grad()
def start_linear_path(encoder: PixelEncoder, decoder: PixelDecoder, images_BCHW: Tensor, scales: int) -> None:
    """Sets the linear path to principal components of these images' patches; the CNNs add nothing yet.

    Each component is divided by the square root of its deviation, so that the first, brightness, does not
    drown the others in distances. Features are about as long as the codes of `scales` scales add up to.
    """
    if encoder.linear is None or decoder.linear is None:
        raise ValueError("this tokenizer has no linear path")
    stride = encoder.linear.kernel_size[0]
    mean_3 = images_BCHW.mean(dim=(0, 2, 3))
    centred_BCHW = images_BCHW - mean_3[:, None, None]
    axes_PK, deviations_P = principal_components(centred_BCHW, stride, encoder.project.out_channels)
    unit = deviations_P.sum().sqrt() / (LENGTH_OF_A_SCALE * scales)
    units_P1 = (unit * deviations_P.sqrt())[:, None]
    shape_P3SS = encoder.linear.weight.shape
    encoder.linear.weight.copy_((axes_PK / units_P1).reshape(shape_P3SS))
    decoder.linear.weight.copy_((axes_PK * units_P1).reshape(shape_P3SS))
    _set_bias(encoder.linear, -encoder.linear.weight.sum(dim=(2, 3)) @ mean_3)
    _set_bias(decoder.linear, mean_3)
    for last in (encoder.project, decoder.last):
        nn.init.zeros_(last.weight)
        _set_bias(last, torch.zeros(last.out_channels))


def principal_components(centred_BCHW: Tensor, stride: int, count: int) -> tuple[Tensor, Tensor]:
    """The first `count` axes [P, K] of patches of centred images and the deviations [P] along them."""
    patches_MK = functional.unfold(centred_BCHW, stride, stride=stride).transpose(1, 2).flatten(0, 1).double()
    variances_K, axes_KK = torch.linalg.eigh(patches_MK.T @ patches_MK / len(patches_MK))
    axes_PK = axes_KK.T[-count:].flip(0)
    deviations_P = variances_K[-count:].flip(0).clamp(min=1e-8).sqrt()
    return axes_PK.to(centred_BCHW), deviations_P.to(centred_BCHW)


def _set_bias(convolution: nn.Conv2d | nn.ConvTranspose2d, values: Tensor) -> None:
    assert convolution.bias is not None
    convolution.bias.copy_(values)
