"""A checkpoint's file to its state dict; nothing in it is ever run."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

WRAPPERS = ("ema", "model", "state_dict")
"""Where a training's checkpoint keeps its weights; the first that is there counts, as in TokenFlow."""

ZIP = b"PK\x03\x04"
"""How torch's files begin; older ones, which cannot stay on disk, do not."""

PARALLEL = "module."
"""What data parallel training puts before every name."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The state dict of a `.safetensors` file, or of one that torch wrote; its tensors stay on disk.

    Of classes other than torch's, the reader knows `argparse.Namespace` alone: trainings keep their arguments
    in one, and it is a plain container that sets attributes and runs nothing.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, holds objects of other classes, or no state dict.
    """
    with path.open("rb") as file:
        begin = file.read(len(ZIP))
    if path.suffix == ".safetensors":
        return unwrap(_read_safetensors(path))
    if begin != ZIP:
        raise ValueError("no checkpoint that torch 1.6 or later wrote")
    return unwrap(_read_torch(path))


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"no safetensors file: {error}") from error


def _read_torch(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            "it holds more than tensors and plain values, which is not unpickled; where it was made, write "
            "the weights alone with safetensors.torch.save_file, and import that file"
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise ValueError(f"a damaged checkpoint of torch: {str(error).splitlines()[0]}") from error


def unwrap(checkpoint: Any) -> dict[str, Tensor]:
    """The state dict in what a checkpoint holds, without prefixes that parallel training adds.

    Raises:
        ValueError: there is none.
    """
    if isinstance(checkpoint, dict):
        checkpoint = next((checkpoint[name] for name in WRAPPERS if name in checkpoint), checkpoint)
    if not isinstance(checkpoint, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in checkpoint.items()
    ):
        raise ValueError(f"no state dict: none under {', '.join(WRAPPERS)}, and the whole is not one either")
    if all(name.startswith(PARALLEL) for name in checkpoint):
        return {name.removeprefix(PARALLEL): tensor for name, tensor in checkpoint.items()}
    return dict(checkpoint)
