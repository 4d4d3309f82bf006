"""How each training of the tokenizer starts from the one before (paper 3.1).

Shapes: B batch, H W pixels.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.tokenizer.codebook import fit_semantic_codes
from model.tokenizer.config import TokenizerConfig
from model.tokenizer.tokenizer import ImageTokenizer
from model.tokenizer.widen import widen


@torch.no_grad()
def start_joint(
    joint: ImageTokenizer,
    pixel: ImageTokenizer,
    images_BCHW: Tensor,
    schedule: ScaleSchedule,
    generator: torch.Generator,
) -> None:
    """Starts both branches: the pixel branch from its own training, the semantic codes from its indices.

    The semantic encoder is to be loaded before. A semantic code becomes the mean of the semantic features
    that the pixel branch gave its index.

    Raises:
        ValueError: `pixel` is not the pixel branch of `joint`'s shape.
    """
    _check_same(joint.config.pixel_branch(), pixel.config, "the pixel branch")
    joint.pixel_encoder.load_state_dict(pixel.pixel_encoder.state_dict())
    joint.pixel_decoder.load_state_dict(pixel.pixel_decoder.state_dict())
    joint.quantizer.pixel_VP.copy_(pixel.quantizer.pixel_VP)
    indices_BN = pixel.encode(images_BCHW, schedule)
    fit_semantic_codes(joint.quantizer, joint.features(images_BCHW), schedule, indices_BN, generator)


def enhanced_tokenizer(tokenizer: ImageTokenizer) -> ImageTokenizer:
    """The same tokenizer with a pixel decoder of twice the width and depth that starts by drawing the same.

    Encoders and codes are the same, so indices stay as they are.
    """
    enhanced = ImageTokenizer(tokenizer.config.enhanced())
    decoder = "pixel_decoder."
    kept = {name: v for name, v in tokenizer.state_dict().items() if not name.startswith(decoder)}
    enhanced.load_state_dict(kept, strict=False)
    generator = torch.Generator().manual_seed(tokenizer.config.seed)
    widen(tokenizer.pixel_decoder, enhanced.pixel_decoder, generator)
    return enhanced


def _check_same(wanted: TokenizerConfig, found: TokenizerConfig, what: str) -> None:
    """Whether two configs agree in all but their seed."""
    ours, theirs = dataclasses.asdict(wanted), dataclasses.asdict(found)
    differ = {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
    differ.pop("seed", None)
    if differ:
        raise ValueError(f"{what} has another shape: (wanted, found) are {differ}")
