"""The dual-codebook tokenizer: images to multi-scale token indices and back (paper 2.1, 3.1; TokenFlow).

Shapes: B batch, H W pixels, h w cells of the finest grid, N tokens of an image (all scales), C codebook
width, V codebook rows, D teacher width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn import functional

from model.scales import ScaleSchedule
from model.tokenizer import codebook as codebook_health
from model.tokenizer import losses
from model.tokenizer.checks import check_images, check_indices, check_schedule
from model.tokenizer.config import TokenizerConfig
from model.tokenizer.correction import Correction, SampledChoice
from model.tokenizer.decoders import PixelDecoder, SemanticDecoder
from model.tokenizer.encoders import PixelEncoder, SemanticProjection, VisionTower
from model.tokenizer.linear_path import start_linear_path
from model.tokenizer.quantizer import Quantized, SharedQuantizer

WEIGHTS_FILE = "model.safetensors"


class DualTokenizer(nn.Module):
    """Two encoders, one shared index, two decoders.

    The semantic encoder's teacher is a frozen copy of it as it was initialised. Without published SigLIP2
    weights that is a random network: distilling it keeps the semantic codes informative about their
    patches, but gives them no meaning learned elsewhere. Initialisation depends on `config.seed` alone.

    Images are [B, 3, H, W] in [-1, 1]; H and W are the schedule's. Every method raises ValueError, naming
    the shape, for images or indices that do not fit. Results for an image may differ by rounding with the
    size of its batch; who needs the same indices always encodes one image at a time on a CPU.

    `code_use` [V] counts how often training chose each code since the last revival.
    """

    code_use: Tensor

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.semantic_encoder = VisionTower(config)
            self.semantic_projection = SemanticProjection(config)
            self.pixel_encoder = PixelEncoder(config)
            self.quantizer = SharedQuantizer(config)
            self.pixel_decoder = PixelDecoder(config)
            self.semantic_decoder = SemanticDecoder(config)
        self.teacher = copy.deepcopy(self.semantic_encoder).requires_grad_(False)
        self.register_buffer("code_use", torch.zeros(config.codebook_size, dtype=torch.int64))

    # Tokens -----------------------------------------------------------------------------------------

    def features(self, images_BCHW: Tensor) -> Tensor:
        """What is quantised: [semantic | pixel] features [B, C, h, w] of the two encoders."""
        pixel_BPhw = self.pixel_encoder(images_BCHW)
        semantic_BNS = self.semantic_projection(self.semantic_encoder(images_BCHW))
        semantic_BShw = semantic_BNS.transpose(1, 2).reshape(len(pixel_BPhw), -1, *pixel_BPhw.shape[-2:])
        return torch.cat([semantic_BShw, pixel_BPhw], dim=1)

    @torch.no_grad()
    def encode(self, images_BCHW: Tensor, schedule: ScaleSchedule) -> Tensor:
        """Token indices [B, N], int64, scale by scale, coarse to fine, row by row."""
        self._check(images_BCHW, schedule)
        quantized: Quantized = self.quantizer(self.features(images_BCHW), schedule.grids)
        return torch.cat(quantized.nearest, dim=1)

    @torch.no_grad()
    def encode_corrected(
        self,
        images_BCHW: Tensor,
        schedule: ScaleSchedule,
        correction: Correction,
        generators: Sequence[torch.Generator],
    ) -> tuple[Tensor, Tensor]:
        """Targets and inputs [B, N] of a transformer that learns to correct sampled codes (paper 2.2).

        Inputs are sampled (see Correction) and are what is subtracted from the residual, so later scales
        re-quantise against them; a target is the nearest code of the residual at its place. The finest
        scale is never an input and is not sampled. `generators` holds one CPU generator for each image.
        """
        self._check(images_BCHW, schedule)
        if len(generators) != len(images_BCHW):
            raise ValueError(f"{len(images_BCHW)} images need as many generators, got {len(generators)}")
        if correction.top_k > self.config.codebook_size:
            raise ValueError(
                f"top_k {correction.top_k} exceeds the codebook's {self.config.codebook_size} rows"
            )
        choose = SampledChoice(schedule, correction, generators)
        quantized: Quantized = self.quantizer(self.features(images_BCHW), schedule.grids, choose)
        return torch.cat(quantized.nearest, dim=1), torch.cat(quantized.chosen, dim=1)

    @torch.no_grad()
    def decode(self, indices_BN: Tensor, schedule: ScaleSchedule) -> Tensor:
        """Images [B, 3, H, W], clamped to [-1, 1]."""
        check_schedule(schedule, self.config)
        check_indices(indices_BN, schedule, self.config)
        features_BChw = self.quantizer.features(indices_BN, schedule.grids)
        images_BCHW: Tensor = self.pixel_decoder(features_BChw[:, self.config.semantic_width :])
        return images_BCHW.clamp(-1, 1)

    @torch.no_grad()
    def codebook(self) -> Tensor:
        """The codebook [V, C]: rows [semantic | pixel], each half of length one."""
        return self.quantizer.codebook()

    # Training ---------------------------------------------------------------------------------------

    def training_losses(
        self, images_BCHW: Tensor, schedule: ScaleSchedule, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Losses of a batch: `loss`, the weighted sum to minimise, and its parts, all scalars.

        The parts are `reconstruction_loss`, `codebook_loss`, `commitment_loss` and `semantic_loss`; beside
        them stands `reconstruction`, the decoded images, detached. Middle scales are dropped at random
        while the module trains; workers whose generators are in the same state drop the same ones.
        """
        self._check(images_BCHW, schedule)
        grids = self._kept_grids(schedule, generator)
        quantized: Quantized = self.quantizer(self.features(images_BCHW), grids)
        self._count_use(quantized)
        semantic_BShw, pixel_BPhw = torch.split(quantized.features, self.quantizer.widths, dim=1)
        reconstruction_BCHW = self.pixel_decoder(pixel_BPhw)
        with torch.no_grad():
            teacher_BND = self.teacher(images_BCHW)
        parts = {
            "reconstruction": functional.mse_loss(reconstruction_BCHW, images_BCHW),
            "codebook": losses.codebook_loss(quantized),
            "commitment": losses.commitment_loss(quantized),
            "semantic": losses.semantic_loss(self.semantic_decoder(semantic_BShw), teacher_BND),
        }
        total = torch.stack(
            [getattr(self.config, f"{name}_weight") * part for name, part in parts.items()]
        ).sum()
        named = {f"{name}_loss": part for name, part in parts.items()}
        return {"loss": total, **named, "reconstruction": reconstruction_BCHW.detach()}

    @torch.no_grad()
    def initialize_codebook(
        self, images_BCHW: Tensor, schedule: ScaleSchedule, generator: torch.Generator
    ) -> None:
        """Fits the codebook to the residuals of a batch at all scales, by a few rounds of k-means.

        Where the config has a linear path, that starts first, at the images' principal components. Call
        once before training, with a few hundred images where there are as many; all workers with the same
        images and generator. Forgets the counts of use.
        """
        self._check(images_BCHW, schedule)
        if self.config.linear_path:
            start_linear_path(self.pixel_encoder, self.pixel_decoder, images_BCHW, len(schedule.grids))
        codebook_health.fit_codebook(self.quantizer, self.features(images_BCHW), schedule.grids, generator)
        self.code_use.zero_()

    @torch.no_grad()
    def revive_dead_codes(
        self, images_BCHW: Tensor, schedule: ScaleSchedule, generator: torch.Generator
    ) -> int:
        """Moves codes that no training batch has used since the last call onto residuals of these images.

        Returns how many it moved. Workers call it together with the same images, generator and `code_use`
        (summed over them); the codebook then stays the same everywhere.
        """
        self._check(images_BCHW, schedule)
        dead_V = self.code_use == 0
        quantized: Quantized = self.quantizer(self.features(images_BCHW), schedule.grids)
        vectors_MC = torch.cat([vectors.flatten(0, 1) for vectors in quantized.vectors])
        codebook_health.revive(self.quantizer, dead_V, vectors_MC, generator)
        self.code_use.zero_()
        return int(dead_V.sum())

    def _kept_grids(self, schedule: ScaleSchedule, generator: torch.Generator) -> list[tuple[int, int]]:
        """The first and the last grid, and each other unless it is dropped."""
        kept = torch.rand(len(schedule.grids), generator=generator) >= self.config.scale_dropout
        kept[0] = kept[-1] = True
        return [grid for grid, keep in zip(schedule.grids, kept, strict=True) if keep or not self.training]

    @torch.no_grad()
    def _count_use(self, quantized: Quantized) -> None:
        rows_M = torch.cat([rows.flatten() for rows in quantized.nearest])
        self.code_use += torch.bincount(rows_M, minlength=self.config.codebook_size)

    def _check(self, images_BCHW: Tensor, schedule: ScaleSchedule) -> None:
        check_schedule(schedule, self.config)
        check_images(images_BCHW, schedule)

    # Files ------------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors` into a folder, which it makes."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        self.config.save(path)
        save_model(self, str(path / WEIGHTS_FILE))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The tokenizer that `save_pretrained` wrote, ready to encode (in evaluation mode)."""
        path = Path(folder)
        tokenizer = cls(TokenizerConfig.load(path))
        load_model(tokenizer, path / WEIGHTS_FILE)
        tokenizer.eval()
        return tokenizer
