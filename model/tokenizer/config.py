"""The tokenizer's shape: one frozen dataclass, its presets and its `config.json`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class TokenizerConfig:
    """Every size and weight of a DualTokenizer; the defaults are the paper's and TokenFlow's.

    Widths count channels. `multipliers` has one entry per resolution of the pixel CNN, fine to coarse, so
    the stride is stem * 2 ** (entries - 1).
    """

    codebook_size: int = 32768
    semantic_width: int = 32
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
    encoder_channels: int = 128
    encoder_blocks: int = 2
    decoder_channels: int = 256
    decoder_blocks: int = 4

    linear_path: bool = False
    """A linear path around both CNNs that starts at principal components; for short trainings."""

    vision_width: int = 1152
    vision_intermediate: int = 4304
    vision_layers: int = 27
    vision_heads: int = 16
    vision_patches: int = 256
    """Positions of the semantic encoder's own table, a square number; interpolated to each picture's grid."""
    semantic_decoder_width: int = 768
    semantic_decoder_layers: int = 3
    semantic_decoder_heads: int = 12

    reconstruction_weight: float = 1.0
    codebook_weight: float = 1.0
    commitment_weight: float = 0.25
    semantic_weight: float = 1.0

    seed: int = 0
    """Of the random initialisation."""

    def __post_init__(self) -> None:
        if self.codebook_size < 2 or not self.multipliers:
            raise ValueError(f"a codebook needs 2 or more codes and the CNN a resolution, got {self}")
        if not 0 <= self.scale_dropout <= 1:
            raise ValueError(f"scale_dropout {self.scale_dropout} is no probability")

    @property
    def stride(self) -> int:
        """Pixels per side of one cell of the finest grid, and of a semantic patch."""
        return self.stem * int(2 ** (len(self.multipliers) - 1))

    @property
    def codebook_width(self) -> int:
        """Width of a codebook row, [semantic | pixel]."""
        return self.semantic_width + self.pixel_width

    @classmethod
    def preset(cls, name: str) -> Self:
        """`tiny` for tests, `demo` for 64x64 scenes, `photo` for 256x256 on CPUs, `full` as published.

        Raises:
            ValueError: no preset has this name.
        """
        if name not in _PRESETS:
            raise ValueError(f"no tokenizer preset {name!r}; presets are {sorted(_PRESETS)}")
        return cls(**_PRESETS[name])

    def save(self, folder: Path) -> None:
        """Writes `config.json`."""
        text = json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)
        (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads `config.json`."""
        values: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return cls(**{**values, "multipliers": tuple(values["multipliers"])})


_PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "codebook_size": 64,
        "linear_path": True,
        "multipliers": (1, 1, 1, 1, 2),
        "encoder_channels": 8,
        "encoder_blocks": 1,
        "decoder_channels": 8,
        "decoder_blocks": 1,
        "vision_width": 32,
        "vision_intermediate": 64,
        "vision_layers": 1,
        "vision_heads": 2,
        "vision_patches": 16,
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
        "encoder_channels": 32,
        "encoder_blocks": 1,
        "decoder_channels": 64,
        "decoder_blocks": 2,
        "vision_width": 96,
        "vision_intermediate": 192,
        "vision_layers": 2,
        "vision_heads": 4,
        "vision_patches": 64,
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
        "encoder_channels": 32,
        "encoder_blocks": 1,
        "decoder_channels": 48,
        "decoder_blocks": 1,
        "vision_width": 192,
        "vision_intermediate": 384,
        "vision_layers": 3,
        "vision_heads": 4,
        "vision_patches": 256,
        "semantic_decoder_width": 128,
        "semantic_decoder_layers": 1,
        "semantic_decoder_heads": 4,
    },
    "full": {},
}
