"""The dual-codebook tokenizer: images to multi-scale token indices and back (paper 2.1, 3.1; TokenFlow).

Shapes: B batch, H W pixels, h w cells of the finest grid, N tokens of an image (all scales), C codebook
width, V codebook rows, S semantic width, D teacher width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn import functional

from model.scales import ScaleSchedule
from model.tokenizer.checks import check_images, check_indices, check_schedule
from model.tokenizer.config import CONFIG_FILE, TokenizerConfig
from model.tokenizer.correction import Correction, draw_ranks
from model.tokenizer.decoders import PixelDecoder, SemanticDecoder
from model.tokenizer.encoders import PixelEncoder, SemanticProjection
from model.tokenizer.quantizer import SharedQuantizer
from model.tokenizer.vision import VisionTower, build_vision_tower

WEIGHTS_FILE = "model.safetensors"


class ImageTokenizer(nn.Module):
    """Two encoders, one shared index, two decoders; with `semantic_width` 0 the pixel branch alone.

    Images are [B, 3, H, W] in [-1, 1]; H and W are the schedule's. Every method raises ValueError, naming
    the shape, for images or indices that do not fit. Results for an image may differ by rounding with the
    size of its batch; who needs the same indices always encodes one image at a time on a CPU.
    Initialisation depends on `config.seed` alone.

    `code_use` [V] counts how often training chose each code since the last revival.
    """

    code_use: Tensor

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.pixel_encoder = PixelEncoder(config)
            self.pixel_decoder = PixelDecoder(config)
            self.semantic_encoder: VisionTower | None = None
            self.semantic_projection: SemanticProjection | None = None
            self.semantic_decoder: SemanticDecoder | None = None
            if config.semantic_width:
                self.semantic_encoder = build_vision_tower(config)
                self.semantic_projection = SemanticProjection(config)
                self.semantic_decoder = SemanticDecoder(config)
            self.quantizer = SharedQuantizer(config)
        self.register_buffer("code_use", torch.zeros(config.codebook_size, dtype=torch.int64))

    # Tokens -----------------------------------------------------------------------------------------

    def features(self, images_BCHW: Tensor) -> Tensor:
        """What is quantised: [semantic | pixel] features [B, C, h, w] of the encoders."""
        grid = (images_BCHW.shape[-2] // self.config.stride, images_BCHW.shape[-1] // self.config.stride)
        stride = self.config.cnn_stride
        pixel_BPhw = self.pixel_encoder(resize(images_BCHW, grid[0] * stride, grid[1] * stride))
        if self.semantic_encoder is None or self.semantic_projection is None:
            features_BPhw: Tensor = pixel_BPhw
            return features_BPhw
        semantic_BNS = self.semantic_projection(self.semantic_encoder(images_BCHW))
        semantic_BShw = semantic_BNS.transpose(1, 2).reshape(len(pixel_BPhw), -1, *grid)
        return torch.cat([semantic_BShw, pixel_BPhw], dim=1)

    @torch.no_grad()
    def encode(self, images_BCHW: Tensor, schedule: ScaleSchedule) -> Tensor:
        """Token indices [B, N], int64, scale by scale, coarse to fine, row by row."""
        self.check(images_BCHW, schedule)
        quantized = self.quantizer(self.features(images_BCHW), schedule.grids)
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
        self.check(images_BCHW, schedule)
        if len(generators) != len(images_BCHW):
            raise ValueError(f"{len(images_BCHW)} images need as many generators, got {len(generators)}")
        if correction.top_k > self.config.codebook_size:
            raise ValueError(
                f"top_k {correction.top_k} exceeds the codebook's {self.config.codebook_size} rows"
            )
        ranks_BN = draw_ranks(schedule, correction, generators).to(images_BCHW.device)
        quantized = self.quantizer(self.features(images_BCHW), schedule.grids, ranks_BN)
        return torch.cat(quantized.nearest, dim=1), torch.cat(quantized.chosen, dim=1)

    @torch.no_grad()
    def decode(self, indices_BN: Tensor, schedule: ScaleSchedule) -> Tensor:
        """Images [B, 3, H, W], clamped to [-1, 1]."""
        return self.reconstruct(self._quantized_features(indices_BN, schedule), schedule).clamp(-1, 1)

    def reconstruct(self, features_BChw: Tensor, schedule: ScaleSchedule) -> Tensor:
        """Images [B, 3, H, W] from quantised features; values may lie beyond [-1, 1]."""
        images_BCHW = self.pixel_decoder(features_BChw[:, self.config.semantic_width :])
        return resize(images_BCHW, schedule.height, schedule.width)

    @torch.no_grad()
    def decode_semantics(self, indices_BN: Tensor, schedule: ScaleSchedule) -> Tensor:
        """Features [B, h * w, D] in the teacher's space, from indices (paper 2.3 conditions on them)."""
        if self.semantic_decoder is None:
            raise ValueError("this tokenizer has no semantic branch")
        features_BChw = self._quantized_features(indices_BN, schedule)
        decoded_BND: Tensor = self.semantic_decoder(features_BChw[:, : self.config.semantic_width])
        return decoded_BND

    @torch.no_grad()
    def codebook(self) -> Tensor:
        """The codebook [V, C]: rows [semantic | pixel], each half of length one with `unit_codes`."""
        return self.quantizer.codebook()

    def check(self, images_BCHW: Tensor, schedule: ScaleSchedule) -> None:
        """Raises ValueError unless the schedule is for this tokenizer and the images are of its size."""
        check_schedule(schedule, self.config)
        check_images(images_BCHW, schedule)

    def _quantized_features(self, indices_BN: Tensor, schedule: ScaleSchedule) -> Tensor:
        check_schedule(schedule, self.config)
        check_indices(indices_BN, schedule, self.config)
        return self.quantizer.features(indices_BN, schedule.grids)

    # Files ------------------------------------------------------------------------------------------

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors` into a folder, which it makes."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        self.config.save(path)
        save_model(self, str(path / WEIGHTS_FILE))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """The tokenizer that `save_pretrained` wrote, ready to encode (in evaluation mode).

        Raises:
            ValueError: the files are damaged or not a tokenizer's, or weights are missing, unknown, of
                another shape or not finite; names the first.
        """
        path = Path(folder)
        config = TokenizerConfig.load(path)
        _check_shapes(path / WEIGHTS_FILE, config)
        tokenizer = cls(config)
        load_model(tokenizer, path / WEIGHTS_FILE)
        broken = [name for name, value in tokenizer.state_dict().items() if not value.isfinite().all()]
        if broken:
            raise ValueError(f"{path / WEIGHTS_FILE}: {broken[0]} holds values that are not finite")
        tokenizer.eval()
        return tokenizer


def _check_shapes(file: Path, config: TokenizerConfig) -> None:
    """Compares a file's header with a config before any weight of either takes memory."""
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in ImageTokenizer(config).state_dict().items()}
    try:
        with safe_open(file, "pt") as weights:
            names = weights.keys()
            found = {name: tuple(weights.get_slice(name).get_shape()) for name in names}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file}: not readable as safetensors: {error}") from error
    differ = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if differ:
        first = differ[0]
        raise ValueError(
            f"{file} does not fit its {CONFIG_FILE}: {len(differ)} weights differ, first {first}, which is "
            f"{found.get(first, 'missing')} and should be {wanted.get(first, 'absent')}"
        )


def resize(images_BCHW: Tensor, height: int, width: int) -> Tensor:
    """Bicubic, where the size differs: SigLIP's 384 pixels are 27 patches, for the CNN 27 x 16 pixels."""
    if images_BCHW.shape[-2:] == (height, width):
        return images_BCHW
    return functional.interpolate(images_BCHW, size=(height, width), mode="bicubic")
