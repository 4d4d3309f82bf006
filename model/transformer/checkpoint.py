"""A model as a folder: `config.json` and `model.safetensors`. Reading one runs no code of its author.

The weights are written first and the configuration last, each atomically: a folder with a
configuration is whole.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.transformer.config import TransformerConfig
from model.transformer.files import write_atomically

WEIGHTS_FILE = "model.safetensors"


def save_model(module: nn.Module, config: TransformerConfig, folder: Path) -> None:
    """Write weights and configuration; a tied parameter is stored once."""
    weights = {name: p.detach().contiguous().cpu() for name, p in module.named_parameters()}
    write_atomically(folder / WEIGHTS_FILE, lambda path: save_file(weights, path))
    config.save(folder)


def load_weights(module: nn.Module, folder: Path) -> None:
    """Read weights into a module of the same configuration.

    Raises:
        ValueError: names or shapes differ.
    """
    path = folder / WEIGHTS_FILE
    weights: dict[str, Tensor] = load_file(path)
    parameters = dict(module.named_parameters())
    shapes = {name: p.shape for name, p in parameters.items()}
    different = sorted({n for n, _ in shapes.items() ^ {n: w.shape for n, w in weights.items()}.items()})
    if different:
        raise ValueError(f"{path}: {len(different)} tensors do not fit the model, such as {different[0]}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
