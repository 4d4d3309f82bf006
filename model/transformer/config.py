"""The shape of the transformer and the readings of the paper it follows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from model.transformer.files import write_atomically

CONFIG_FILE = "config.json"

RopeAxes = Literal["interleaved", "contiguous"]
PositionOffset = Literal["scale", "none", "all"]
InputFeatures = Literal["residual", "accumulated"]
ContextMode = Literal["shifted", "native", "final"]


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of the decoder, its vocabularies and the options where the paper is silent.

    The unified vocabulary is: text ids, then `codebook_size` visual codes, then `<boi>` and `<eoi>`.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    text_vocabulary: int
    codebook_size: int
    codebook_width: int
    end_id: int
    """Text id that ends a document."""
    rope_theta: float = 1_000_000.0
    norm_epsilon: float = 1e-6
    tie_embeddings: bool = False
    """Share the text rows between input embedding and output head."""
    max_scales: int = 18
    coordinate_range: float = 64.0
    """C of eq. 1: the coordinates of every grid span this range."""
    rope_axes: RopeAxes = "interleaved"
    """How frequencies are dealt to the axes: in turn, or in Qwen's sections of 1/4, 3/8 and 3/8."""
    position_offset: PositionOffset = "scale"
    """Which axes of an image's positions start at its `<boi>`: eq. 1 as printed is `none`."""
    input_features: InputFeatures = "residual"
    """What a block is fed: the codes of the scale before alone, or the sum of all scales before."""
    context_mode: ContextMode = "shifted"
    """How an image that is read and not predicted is fed. `shifted`: as a predicted one, whose finest codes
    are nobody's input. `native`: every scale's codes on their own grid. `final`: the sum of all scales, on
    the last grid."""
    max_positions: int = 32_768
    """Longest document."""

    def __post_init__(self) -> None:
        if self.hidden % self.heads or self.heads % self.kv_heads or self.head_width % 2:
            raise ValueError(
                f"hidden {self.hidden}, heads {self.heads}, kv_heads {self.kv_heads}: each divides the one "
                "before, and the width of a head is even"
            )
        if not 0 <= self.end_id < self.text_vocabulary:
            raise ValueError(f"end_id {self.end_id} is not one of the {self.text_vocabulary} text ids")
        _require_option("rope_axes", self.rope_axes, RopeAxes)
        _require_option("position_offset", self.position_offset, PositionOffset)
        _require_option("input_features", self.input_features, InputFeatures)
        _require_option("context_mode", self.context_mode, ContextMode)

    @property
    def head_width(self) -> int:
        """Channels of one attention head."""
        return self.hidden // self.heads

    @property
    def boi(self) -> int:
        """Id of the begin-of-image token."""
        return self.text_vocabulary + self.codebook_size

    @property
    def eoi(self) -> int:
        """Id of the end-of-image token."""
        return self.boi + 1

    @property
    def vocabulary(self) -> int:
        """Rows of the output head: text, visual codes, `<boi>` and `<eoi>`."""
        return self.boi + 2

    @classmethod
    def preset(
        cls,
        name: str,
        *,
        text_vocabulary: int,
        codebook_size: int,
        codebook_width: int,
        end_id: int,
    ) -> TransformerConfig:
        """The named size (`tiny`, `small`, `2b`, `7b`) with the vocabularies of its tokenizers.

        Raises:
            ValueError: there is no such preset.
        """
        if name not in _PRESETS:
            raise ValueError(f"no transformer preset {name!r}; there are {', '.join(_PRESETS)}")
        hidden, layers, heads, kv_heads, intermediate, rope_theta, tie_embeddings = _PRESETS[name]
        return cls(
            hidden=hidden,
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            intermediate=intermediate,
            rope_theta=rope_theta,
            tie_embeddings=tie_embeddings,
            text_vocabulary=text_vocabulary,
            codebook_size=codebook_size,
            codebook_width=codebook_width,
            end_id=end_id,
        )

    def save(self, folder: Path) -> None:
        """Write `config.json` into a folder, atomically."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"
        write_atomically(folder / CONFIG_FILE, lambda path: path.write_text(text))

    @classmethod
    def load(cls, folder: Path) -> TransformerConfig:
        """Read `config.json` of a folder.

        Raises:
            ValueError: it has keys that are unknown, or lacks some.
        """
        path = folder / CONFIG_FILE
        values = json.loads(path.read_text())
        unknown = values.keys() - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"{path}: unknown keys {sorted(unknown)}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"{path}: {error}") from error


def _require_option(name: str, value: str, options: object) -> None:
    if value not in get_args(options):
        raise ValueError(f"{name} is one of {get_args(options)}, not {value!r}")


_PRESETS: dict[str, tuple[int, int, int, int, int, float, bool]] = {
    # hidden, layers, heads, kv_heads, intermediate, rope_theta, tie_embeddings
    "tiny": (192, 4, 3, 1, 512, 100.0, False),
    "small": (768, 12, 12, 4, 2048, 100_000.0, False),
    "2b": (2048, 28, 16, 2, 8192, 1_000_000.0, False),
    "7b": (3584, 28, 28, 4, 18944, 1_000_000.0, False),
}
"""`7b` has the shapes of Qwen2.5-7B. The small ones turn faster (`rope_theta`): of their few frequencies,
slow ones cannot tell cells apart."""
