"""The tokenizer's losses (paper 2.1, TokenFlow), and one training step's sum of them.

Shapes: B batch, H W pixels, h w cells of the finest grid, N patches, D teacher width, n tokens of one scale,
C codebook width, V codebook rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.scales import Grid, ScaleSchedule
from model.tokenizer.discriminator import PatchDiscriminator, adversarial_loss
from model.tokenizer.quantizer import Quantized
from model.tokenizer.tokenizer import ImageTokenizer

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""(images, reconstructions), both [B, 3, H, W] in [-1, 1] -> distances [B], such as LPIPS."""


@dataclass(frozen=True)
class LossWeights:
    """What each loss counts; the defaults are TokenFlow's."""

    reconstruction: float = 1.0
    perceptual: float = 1.0
    adversarial: float = 0.5
    codebook: float = 1.0
    commitment: float = 0.25
    semantic: float = 1.0


class TokenizerLoss(nn.Module):
    """The losses of a batch as a forward pass, which is what is distributed.

    Args:
        weights: of the losses.
        teacher: gives the features that the semantic decoder learns, frozen; none without that branch.
        perceptual: none leaves this loss out.
        decoder_alone: only the pixel decoder learns; images are encoded as they will be, with every scale.
    """

    def __init__(
        self,
        tokenizer: ImageTokenizer,
        weights: LossWeights,
        teacher: nn.Module | None = None,
        perceptual: Perceptual | None = None,
        decoder_alone: bool = False,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self._weights = weights
        # In a tuple, so that what is frozen is neither saved nor distributed with the tokenizer.
        self._frozen = (teacher, perceptual)
        self._decoder_alone = decoder_alone
        if decoder_alone:
            tokenizer.requires_grad_(False)
            tokenizer.pixel_decoder.requires_grad_(True)

    def forward(
        self,
        images_BCHW: Tensor,
        schedule: ScaleSchedule,
        generator: torch.Generator,
        discriminator: PatchDiscriminator | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The losses by name, scalars, with their weighted sum `loss`; and the reconstructions.

        Middle scales are dropped at random (paper 3.1); workers whose generators are in the same state drop
        the same ones.

        Raises:
            ValueError: the images do not fit the schedule.
        """
        self.tokenizer.check(images_BCHW, schedule)
        parts, reconstructions_BCHW = (
            self._decoder_losses(images_BCHW, schedule)
            if self._decoder_alone
            else self._all_losses(images_BCHW, schedule, generator)
        )
        parts["reconstruction"] = functional.mse_loss(reconstructions_BCHW, images_BCHW)
        perceptual = self._frozen[1]
        if perceptual is not None:
            parts["perceptual"] = perceptual(images_BCHW, reconstructions_BCHW).mean()
        if discriminator is not None:
            parts["adversarial"] = adversarial_loss(discriminator, reconstructions_BCHW)
        total = torch.stack([getattr(self._weights, name) * part for name, part in parts.items()]).sum()
        return {"loss": total, **parts}, reconstructions_BCHW

    def _decoder_losses(
        self, images_BCHW: Tensor, schedule: ScaleSchedule
    ) -> tuple[dict[str, Tensor], Tensor]:
        with torch.no_grad():
            quantized = self.tokenizer.quantizer(self.tokenizer.features(images_BCHW), schedule.grids)
        return {}, self.tokenizer.reconstruct(quantized.features, schedule)

    def _all_losses(
        self, images_BCHW: Tensor, schedule: ScaleSchedule, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        tokenizer = self.tokenizer
        grids = kept_grids(schedule, tokenizer.config.scale_dropout, generator)
        quantized: Quantized = tokenizer.quantizer(tokenizer.features(images_BCHW), grids)
        _count_use(tokenizer.code_use, quantized)
        parts = {"codebook": codebook_loss(quantized), "commitment": commitment_loss(quantized)}
        teacher = self._frozen[0]
        if tokenizer.semantic_decoder is not None and isinstance(teacher, nn.Module):
            with torch.no_grad():
                teacher_BND = teacher(images_BCHW)
            semantic_BShw = quantized.features[:, : tokenizer.config.semantic_width]
            parts["semantic"] = semantic_loss(tokenizer.semantic_decoder(semantic_BShw), teacher_BND)
        return parts, self.tokenizer.reconstruct(quantized.features, schedule)


def kept_grids(schedule: ScaleSchedule, dropout: float, generator: torch.Generator) -> Sequence[Grid]:
    """The first and the last grid, and each other unless it is dropped."""
    kept = torch.rand(len(schedule.grids), generator=generator) >= dropout
    kept[0] = kept[-1] = True
    return [grid for grid, keep in zip(schedule.grids, kept, strict=True) if keep]


def codebook_loss(quantized: Quantized) -> Tensor:
    """Mean squared distance that moves codes towards the vectors they stand for, averaged over scales."""
    pairs = zip(quantized.codes, quantized.vectors, strict=True)
    return torch.stack([functional.mse_loss(codes, vectors.detach()) for codes, vectors in pairs]).mean()


def commitment_loss(quantized: Quantized) -> Tensor:
    """Mean squared distance that moves vectors towards their codes, averaged over scales."""
    pairs = zip(quantized.codes, quantized.vectors, strict=True)
    return torch.stack([functional.mse_loss(vectors, codes.detach()) for codes, vectors in pairs]).mean()


def semantic_loss(decoded_BND: Tensor, teacher_BND: Tensor) -> Tensor:
    """1 - cosine of decoded semantic features and the teacher's, averaged over patches."""
    return (1 - functional.cosine_similarity(decoded_BND, teacher_BND, dim=-1)).mean()


@torch.no_grad()
def _count_use(code_use_V: Tensor, quantized: Quantized) -> None:
    rows_M = torch.cat([rows.flatten() for rows in quantized.nearest])
    code_use_V += torch.bincount(rows_M, minlength=len(code_use_V))
