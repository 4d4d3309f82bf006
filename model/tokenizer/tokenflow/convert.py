"""A TokenFlow state dict to our config and weights, with an account of every tensor in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from model.tokenizer.config import TokenizerConfig
from model.tokenizer.tokenflow.names import Source, reason_unused, source_of
from model.tokenizer.tokenflow.sizes import Shape, infer_config
from model.tokenizer.tokenizer import WEIGHTS_FILE, ImageTokenizer

TRANSFORMERS_4 = "encoder_vqkd.vision_model."
"""How SigLIP's names begin where transformers 4 wrote them; 5 leaves `vision_model.` out."""

SHOWN_PROBLEMS = 4
"""Problems that an error names one by one; the others are counted."""

OWN = "code_use"
"""Our count of use since codes were last revived; begins at zero."""

HALF = ("scaling_layer.shift", "scaling_layer.scale")


@dataclass(frozen=True)
class SourceTensor:
    """What became of one tensor of a checkpoint: the weights of ours it is in, or why it is not used."""

    name: str
    shape: Shape
    loaded_as: tuple[str, ...]
    unused: str


@dataclass(frozen=True)
class Converted:
    """A tokenizer made of a checkpoint; `report` has one entry for each tensor in it, in its order."""

    config: TokenizerConfig
    weights: dict[str, Tensor]
    report: tuple[SourceTensor, ...]

    def save(self, folder: Path) -> None:
        """Writes `config.json` and `model.safetensors` into a folder that exists."""
        self.config.save(folder)
        contiguous = {name: tensor.contiguous() for name, tensor in self.weights.items()}
        save_file(contiguous, folder / WEIGHTS_FILE)


def convert(state: Mapping[str, Tensor]) -> Converted:
    """Our config and weights, float32, of TokenFlow's state dict; on any device, `meta` too.

    Raises:
        ValueError: tensors are missing, unknown or of wrong shapes (names the first and counts the others),
            or are no tokenizer's.
    """
    written = {name.replace(TRANSFORMERS_4, "encoder_vqkd."): name for name in state}
    if len(written) < len(state):
        raise ValueError(f"no TokenFlow tokenizer: names with and without {TRANSFORMERS_4} side by side")
    tensors = {name: state[source] for name, source in written.items()}
    config = infer_config({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    maker = _Maker(tensors, config)
    for name, like in _expected(config).items():
        maker.make(name, like)
    report = [
        SourceTensor(
            source, tuple(state[source].shape), tuple(maker.uses[name]), _reason(name, maker.uses, config)
        )
        for name, source in written.items()
    ]
    unknown = [f"{entry.name} is unknown" for entry in report if not entry.loaded_as and not entry.unused]
    _raise_for([*maker.problems, *unknown, *_other_scaling(tensors)])
    return Converted(config, maker.weights, tuple(report))


class _Maker:
    """Makes our weights one by one; notes which tensors went where and what was wrong."""

    def __init__(self, tensors: Mapping[str, Tensor], config: TokenizerConfig) -> None:
        self.tensors = tensors
        self.config = config
        self.weights: dict[str, Tensor] = {}
        self.uses: defaultdict[str, list[str]] = defaultdict(list)
        self.problems: list[str] = []

    def make(self, name: str, like: Tensor) -> None:
        """Our weight of this name, which has the shape and the type of `like`."""
        if name == OWN:
            self.weights[name] = torch.zeros(like.shape, dtype=like.dtype)
            return
        source = source_of(name, self.config)
        for part in source.names:
            self.uses[part].append(name)
        missing = [part for part in source.names if part not in self.tensors]
        self.problems += [f"{part} is missing" for part in missing]
        if not missing:
            self._fill(name, like, source)

    def _fill(self, name: str, like: Tensor, source: Source) -> None:
        parts = [self.tensors[part] for part in source.names]
        try:
            made = source.make(*parts)
        except (RuntimeError, IndexError):
            made = None
        if made is None or made.shape != like.shape:
            shapes = ", ".join(f"{n} {tuple(p.shape)}" for n, p in zip(source.names, parts, strict=True))
            self.problems.append(f"{shapes} should make {name} {tuple(like.shape)}")
            return
        self.weights[name] = made.to(like.dtype)


def _expected(config: TokenizerConfig) -> dict[str, Tensor]:
    """The names, shapes and types of a tokenizer's weights; nothing is allocated."""
    try:
        with torch.device("meta"):
            return ImageTokenizer(config).state_dict()
    except (ValueError, RuntimeError, AssertionError) as error:
        raise ValueError(f"no tokenizer has the checkpoint's sizes: {error}") from error


def _reason(name: str, uses: Mapping[str, Sequence[str]], config: TokenizerConfig) -> str:
    return "" if uses[name] else reason_unused(name, config)


def _other_scaling(tensors: Mapping[str, Tensor]) -> list[str]:
    """The scaling layer may be left out only where it changes nothing."""
    return [
        f"{name} is not 0.5, so that it is more than [-1, 1] to [-1, 1]"
        for name in HALF
        if name in tensors and not tensors[name].is_meta and not (tensors[name] == 0.5).all()
    ]


def _raise_for(problems: Sequence[str]) -> None:
    if problems:
        more = len(problems) - SHOWN_PROBLEMS
        shown = "; ".join(problems[:SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        raise ValueError(f"no TokenFlow tokenizer: {shown}")
