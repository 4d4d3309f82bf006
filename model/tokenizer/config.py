"""The tokenizer's shape: one frozen dataclass, its presets and its `config.json`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class TokenizerConfig:
    """Every size of an ImageTokenizer; the defaults are the paper's and TokenFlow's.

    Widths count channels. `multipliers` has one entry per resolution of the pixel CNN, fine to coarse.
    """

    codebook_size: int = 32768
    semantic_width: int = 32
    """Of the semantic codes; 0 leaves the semantic branch out (a multi-scale VQGAN, paper 3.1)."""
    pixel_width: int = 8
    pixel_distance_weight: float = 1.0
    """w of `d_semantic + w * d_pixel`, the distance that chooses the shared index."""
    unit_codes: bool = True
    """Normalise residuals and codes to length one, as TokenFlow does. Without, fine codes are easier to
    predict: flat areas take the one code near zero instead of a direction that is noise."""
    scale_dropout: float = 0.5
    """Probability that training leaves out a scale other than the first and the last."""

    stem: int = 1
    """Pixels per side that the CNNs take as one, folded into channels; 1 is the paper's, more is cheaper."""
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    latent_channels: int = 256
    """Between a CNN and the 1x1 convolution from or to the codes."""
    encoder_channels: int = 128
    encoder_blocks: int = 2
    decoder_channels: int = 128
    decoder_blocks: int = 2
    """Residual blocks per resolution; the decoder has one more, as in VQGAN."""
    norm_groups: int = 32
    """Of the group norms of both CNNs; every width is a multiple."""

    linear_path: bool = False
    """A linear path around both CNNs that starts at principal components; for short trainings."""

    vision: Literal["siglip2", "siglip", "clip"] = "siglip2"
    """Kind of the semantic encoder. SigLIP2 NaFlex takes any width and height as it is."""
    vision_patch: int | None = None
    """Pixels per side of its patches; null: the CNN's stride. Others have the pixel branch work on a
    resized picture (SigLIP's 14)."""
    vision_width: int = 1152
    vision_intermediate: int = 4304
    vision_layers: int = 26
    vision_final_norm: bool = False
    """Without, and without its last layer, the encoder gives the penultimate states that TokenFlow reads."""
    vision_heads: int = 16
    vision_patches: int = 256
    """Positions of the semantic encoder's own table, a square number; interpolated to each picture's grid."""
    teacher_width: int = 1152
    """Of the features that the semantic decoder gives back."""
    semantic_decoder_width: int = 1152
    semantic_decoder_layers: int = 3
    semantic_decoder_heads: int = 12
    semantic_decoder_patches: int | None = None
    """Positions of the semantic decoder's learned table (TokenFlow); null: fixed ones of any rectangle."""

    seed: int = 0
    """Of the random initialisation."""

    def __post_init__(self) -> None:
        if self.codebook_size < 2 or not self.multipliers:
            raise ValueError(f"a codebook needs 2 or more codes and the CNN a resolution, got {self}")
        if not 0 <= self.scale_dropout <= 1:
            raise ValueError(f"scale_dropout {self.scale_dropout} is no probability")
        if self.pixel_width < 1 or self.semantic_width < 0:
            raise ValueError(f"widths of codes are {self.semantic_width} and {self.pixel_width}")

    @property
    def cnn_stride(self) -> int:
        """Pixels per side that the CNN makes one cell of."""
        return self.stem * int(2 ** (len(self.multipliers) - 1))

    @property
    def stride(self) -> int:
        """Pixels per side of the picture for one cell of the finest grid, and for a semantic patch."""
        return self.vision_patch or self.cnn_stride

    @property
    def codebook_width(self) -> int:
        """Width of a codebook row, [semantic | pixel]."""
        return self.semantic_width + self.pixel_width

    @classmethod
    def preset(cls, name: str) -> Self:
        """A shape by its name.

        `nextflow` is the paper's; `tokenflow-clipb` and `tokenflow-siglip` are those of TokenFlow's two
        files; `tiny` is for tests, `demo` for 64x64 scenes, `photo` for 256x256 on CPUs.

        Raises:
            ValueError: no preset has this name.
        """
        if name not in _PRESETS:
            raise ValueError(f"no tokenizer preset {name!r}; presets are {sorted(_PRESETS)}")
        return cls(**_PRESETS[name])

    def pixel_branch(self) -> Self:
        """The same shape without its semantic branch: what the first training trains."""
        return dataclasses.replace(self, semantic_width=0)

    def enhanced(self) -> Self:
        """The same shape with a pixel decoder of twice the width and depth (paper 3.1)."""
        return dataclasses.replace(
            self, decoder_channels=2 * self.decoder_channels, decoder_blocks=2 * self.decoder_blocks
        )

    def save(self, folder: Path) -> None:
        """Writes `config.json`."""
        text = json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)
        (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads `config.json`.

        Raises:
            ValueError: it is not a tokenizer's; names what is unknown.
        """
        path = folder / CONFIG_FILE
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        unknown = sorted(values.keys() - {field.name for field in dataclasses.fields(cls)})
        if unknown or "multipliers" not in values:
            raise ValueError(f"{path} is no configuration of an image tokenizer: unknown are {unknown}")
        return cls(**{**values, "multipliers": tuple(values["multipliers"])})


_PRESETS: dict[str, dict[str, Any]] = {
    "nextflow": {},
    "tokenflow-clipb": {
        "decoder_channels": 256,
        "decoder_blocks": 4,
        "vision": "clip",
        "vision_width": 768,
        "vision_intermediate": 3072,
        "vision_layers": 12,
        "vision_final_norm": True,
        "vision_heads": 12,
        "vision_patches": 196,
        "teacher_width": 512,
        "semantic_decoder_width": 768,
        "semantic_decoder_patches": 196,
    },
    "tokenflow-siglip": {
        "vision": "siglip",
        "vision_patch": 14,
        "vision_patches": 729,
        "semantic_decoder_patches": 729,
    },
    "tiny": {
        "codebook_size": 64,
        "linear_path": True,
        "multipliers": (1, 1, 1, 1, 2),
        "latent_channels": 16,
        "norm_groups": 2,
        "encoder_channels": 8,
        "encoder_blocks": 1,
        "decoder_channels": 8,
        "decoder_blocks": 1,
        "vision_width": 32,
        "vision_intermediate": 64,
        "vision_layers": 1,
        "vision_final_norm": True,
        "vision_heads": 2,
        "vision_patches": 16,
        "teacher_width": 32,
        "semantic_decoder_width": 32,
        "semantic_decoder_layers": 1,
        "semantic_decoder_heads": 2,
    },
    "demo": {
        "codebook_size": 128,
        "unit_codes": False,
        "linear_path": True,
        "pixel_distance_weight": 16.0,
        "scale_dropout": 0.0,
        "stem": 4,
        "multipliers": (1, 2),
        "latent_channels": 64,
        "norm_groups": 8,
        "encoder_channels": 32,
        "encoder_blocks": 1,
        "decoder_channels": 32,
        "decoder_blocks": 1,
        "vision_width": 96,
        "vision_intermediate": 192,
        "vision_layers": 2,
        "vision_final_norm": True,
        "vision_heads": 4,
        "vision_patches": 64,
        "teacher_width": 96,
        "semantic_decoder_width": 64,
        "semantic_decoder_layers": 1,
        "semantic_decoder_heads": 4,
    },
    "photo": {
        "codebook_size": 1024,
        "unit_codes": False,
        "linear_path": True,
        "pixel_distance_weight": 16.0,
        "scale_dropout": 0.0,
        "stem": 4,
        "multipliers": (1, 2, 3),
        "latent_channels": 96,
        "norm_groups": 8,
        "encoder_channels": 32,
        "encoder_blocks": 1,
        "decoder_channels": 32,
        "decoder_blocks": 1,
        "vision_width": 192,
        "vision_intermediate": 384,
        "vision_layers": 3,
        "vision_final_norm": True,
        "vision_heads": 4,
        "vision_patches": 256,
        "teacher_width": 192,
        "semantic_decoder_width": 128,
        "semantic_decoder_layers": 1,
        "semantic_decoder_heads": 4,
    },
}
