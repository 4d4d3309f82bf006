"""A model as a folder: `config.json` and its weights as safetensors. Reading one runs no code of its author.

Weights beyond one file's size are several files and an index, named as transformers names them. They are
written first and the configuration last, each file atomically: a folder with a configuration is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from model.transformer.config import TransformerConfig
from model.transformer.files import write_atomically

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_FILE_BYTES = 5 * 10**9

Locate = Callable[[str], Path]
"""Name of a checkpoint's file -> where it is; raises OSError where there is none."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies, and its shape, which is known before it is read."""

    file: Path
    name: str
    shape: tuple[int, ...]

    def read(self) -> Tensor:
        """The tensor, mapped from its file."""
        with safe_open(self.file, "pt") as file:
            tensor: Tensor = file.get_tensor(self.name)
        return tensor


def save_model(
    module: nn.Module, config: TransformerConfig, folder: Path, max_file_bytes: int = MAX_FILE_BYTES
) -> None:
    """Write weights and configuration; a tied parameter is stored once."""
    weights = {name: p.detach().contiguous().cpu() for name, p in module.named_parameters()}
    files = _name_files(_split(weights, max_file_bytes))
    for name, names in files.items():
        write_atomically(folder / name, partial(save_file, {n: weights[n] for n in names}))
    if len(files) > 1:
        _write_index(folder / INDEX_FILE, weights, files)
    _remove_others(folder, {*files, INDEX_FILE} if len(files) > 1 else {*files})
    config.save(folder)


def load_weights(module: nn.Module, folder: Path) -> None:
    """Read weights into a module of the same configuration.

    Raises:
        ValueError: a file is missing or damaged, or names or shapes differ.
    """
    stored = list_tensors(weight_files(in_folder(folder), str(folder)))
    parameters = dict(module.named_parameters())
    check_tensors(stored, parameters, str(folder))
    copy_tensors(stored, parameters)


def in_folder(folder: Path) -> Locate:
    """The files of a local checkpoint."""
    return lambda name: (folder / name).resolve(strict=True)


def weight_files(locate: Locate, where: str) -> list[Path]:
    """The files of a checkpoint: the one of all weights, or those that its index names.

    Raises:
        ValueError: there are none, or the index is damaged or names files elsewhere than beside it.
    """
    with suppress(OSError):
        return [locate(WEIGHTS_FILE)]
    try:
        return [locate(name) for name in _indexed_files(locate(INDEX_FILE))]
    except OSError as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{where}: no weights as safetensors: {why}") from error


def list_tensors(
    files: Iterable[Path], rename: Callable[[str], str | None] = lambda name: name
) -> dict[str, StoredTensor]:
    """The tensors in files by name. `rename` gives them other names, or None to leave them out.

    Raises:
        ValueError: a file is missing or damaged, or two tensors get the same name.
    """
    stored: dict[str, StoredTensor] = {}
    for file in files:
        for tensor in _tensors_of(file):
            name = rename(tensor.name)
            if name in stored:
                raise ValueError(f"{file}: {tensor.name} is there twice, as {stored[name].name}")
            if name is not None:
                stored[name] = tensor
    return stored


def check_tensors(stored: Mapping[str, StoredTensor], parameters: Mapping[str, Tensor], where: str) -> None:
    """Compare names and shapes.

    Raises:
        ValueError: some differ; says how many, and the first.
    """
    found = {name: list(tensor.shape) for name, tensor in stored.items()}
    wanted = {name: list(parameter.shape) for name, parameter in parameters.items()}
    different = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
    if different:
        first = different[0]
        shapes = f"{found.get(first, 'absent')} in the file, {wanted.get(first, 'absent')} in the model"
        raise ValueError(f"{where}: {len(different)} tensors do not fit the model, such as {first}: {shapes}")


@torch.no_grad()
def copy_tensors(stored: Mapping[str, StoredTensor], parameters: Mapping[str, Tensor]) -> None:
    """Read tensors one by one into the parameters of their names: beside the model, memory for one."""
    for name, parameter in parameters.items():
        parameter.copy_(stored[name].read())


def _tensors_of(file: Path) -> list[StoredTensor]:
    try:
        with safe_open(file, "pt") as opened:
            names = sorted(opened.keys())
            return [StoredTensor(file, n, tuple(opened.get_slice(n).get_shape())) for n in names]
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file}: not readable as safetensors: {error}") from error


def _split(weights: Mapping[str, Tensor], max_bytes: int) -> list[list[str]]:
    """Names in order, cut before the file would become too large. A larger tensor is alone."""
    groups: list[list[str]] = [[]]
    room = max_bytes
    for name, weight in weights.items():
        if groups[-1] and weight.nbytes > room:
            groups.append([])
            room = max_bytes
        groups[-1].append(name)
        room -= weight.nbytes
    return groups


def _name_files(groups: list[list[str]]) -> dict[str, list[str]]:
    if len(groups) == 1:
        return {WEIGHTS_FILE: groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": names for i, names in enumerate(groups, 1)}


def _write_index(path: Path, weights: Mapping[str, Tensor], files: Mapping[str, list[str]]) -> None:
    total = sum(weight.nbytes for weight in weights.values())
    places = {name: file for file, names in files.items() for name in names}
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2, sort_keys=True)
    write_atomically(path, lambda temporary: temporary.write_text(f"{text}\n"))


def _indexed_files(index: Path) -> list[str]:
    """Names of the files in an index, each a plain name."""
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index}: not an index of weights: {error!r}") from error
    for name in names:
        if not isinstance(name, str) or "\\" in name or Path(name).name != name:
            raise ValueError(f"{index}: {name!r} is not the name of a file beside the index")
        if not name.endswith(".safetensors"):
            raise ValueError(f"{index}: {name!r} is not a safetensors file")
    return names


def _remove_others(folder: Path, written: set[str]) -> None:
    """Remove the weights of an earlier model in the folder, which would be mistaken for this one's."""
    for path in [*folder.glob("model-*-of-*.safetensors"), folder / WEIGHTS_FILE, folder / INDEX_FILE]:
        if path.name not in written:
            path.unlink(missing_ok=True)
