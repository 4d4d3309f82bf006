"""Published models of transformers, from a local folder or a hub: whole, as data, and without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging


def load_published(kind: Any, name: str | Path, optional: str = "\0") -> Any:
    """A model of a class of transformers, in float32.

    Only safetensors are read. transformers would draw weights that a file lacks at random; here they are
    asked for, but for those with `optional` in their names.

    Raises:
        ValueError: there is no such model, or it lacks weights; names the first.
    """
    if str(name).startswith((".", "/")) and not Path(name).is_dir():
        raise ValueError(f"no {kind.__name__} at {str(name)!r}: no such folder")
    try:
        with quiet():
            model, info = kind.from_pretrained(
                name, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"no {kind.__name__} at {str(name)!r}: {error}") from error
    missing = sorted(key for key in info["missing_keys"] if optional not in f".{key}")
    if missing:
        lost = f"{len(missing)} weights are missing, {missing[0]} first"
        raise ValueError(f"no {kind.__name__} at {str(name)!r}: {lost}")
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' own bars and reports, which would mix with the caller's."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
