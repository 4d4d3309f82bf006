"""Published weights of networks that judge pictures: from a local file, torch's cache or a download."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from torch import Tensor
from torch.hub import load_state_dict_from_url

from infra.errors import UserError

StateDict = dict[str, Tensor]

_NOT_WEIGHTS = (
    *(OSError, RuntimeError, ValueError, LookupError, EOFError, TypeError, AttributeError),
    pickle.UnpicklingError,
)
"""What torch raises for files that are damaged, or hold more than tensors."""


def load_weights(file: str | None, url: str, where: str, mend: str) -> StateDict:
    """A state dict, read as data: nothing in the file is executed.

    Args:
        file: a local file that `torch.save` wrote; None takes what is published at `url`, whose name ends
            in its checksum, through torch's cache (`TORCH_HOME`).
        url: of the published file.
        where: the setting that names the file, for errors.
        mend: what else can be done, for errors.

    Raises:
        UserError: the file cannot be read or is no state dict, or nothing could be downloaded.
    """
    weights = _download(url, where, mend) if file is None else _read(file, mend)
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise UserError("is no state dict", file or url, mend)
    return weights


def _read(file: str, mend: str) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError("no such file", file, mend) from error
    except _NOT_WEIGHTS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cannot be read as weights ({reason[:120]})", file, mend) from error


def _download(url: str, where: str, mend: str) -> Any:
    try:
        return load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except _NOT_WEIGHTS as error:
        raise UserError(
            f"{url} is not in torch's cache and cannot be downloaded ({error})", where, mend
        ) from error
