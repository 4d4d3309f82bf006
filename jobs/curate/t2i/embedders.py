"""Who embeds pictures and words: the project's semantic encoder, or a published model through open_clip.

Shapes: B pictures or texts, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from infra.errors import UserError
from jobs.recipe.curation.t2i import Embedding, OpenClipEmbedder
from jobs.semantic.encoder import load_encoder

LOADING_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    SafetensorError,
    UnpicklingError,
)
"""What libraries raise for weights that are missing, damaged, or others than expected."""

_LOCAL = "local-dir:"


class Embedder(Protocol):
    """Pictures and texts in one space. Both one at a time: what stands beside one must not move it."""

    def images(self, pictures: Sequence[Image.Image], /) -> Tensor:
        """Embeddings [B, D] of length one of RGB pictures."""
        ...

    def texts(self, texts: Sequence[str], /) -> Tensor:
        """Embeddings [B, D] of length one."""
        ...

    @property
    def scale(self) -> float:
        """What a cosine is multiplied by to be a logit."""
        ...


def open_embedder(embedding: Embedding, pretrained: str | None, trained: Sequence[str]) -> Embedder:
    """The embedder that the recipe names, on the CPU.

    Args:
        embedding: the recipe's section.
        pretrained: `tokenizer.semantic.pretrained`.
        trained: the output of a finished `tokenizer/semantic`, where there is one.

    Raises:
        UserError: there is none, or it cannot be loaded.
    """
    if isinstance(embedding.encoder, OpenClipEmbedder):
        return OpenClip(embedding.encoder.model, "curation.t2i.embedding.encoder.model")
    place = pretrained or next(iter(trained), None)
    if place is None:
        what = "embeddings need a semantic encoder, and there is none"
        raise UserError(what, "curation.t2i.embedding.encoder", "Name one as tokenizer.semantic.pretrained")
    return load_encoder(place)


class OpenClip:
    """A published model, on the CPU. Its weights are read as data, and no code of theirs runs."""

    def __init__(self, name: str, setting: str) -> None:
        """Load `name`.

        Args:
            name: as open_clip knows it: `hf-hub:owner/name` or `local-dir:folder`.
            setting: of the recipe, for errors.

        Raises:
            UserError: it cannot be loaded.
        """
        import open_clip  # takes seconds, which workers with the project's own encoder do without

        if name.startswith(_LOCAL):
            name = f"{_LOCAL}{Path(name.removeprefix(_LOCAL)).expanduser()}"
        try:
            model, prepare = open_clip.create_model_from_pretrained(name)
            self._tokenize = open_clip.get_tokenizer(name, **_tokenizer_options(name))
        except LOADING_ERRORS as error:
            what = f"open_clip cannot load {name}: {one_line(error)}"
            raise UserError(what, setting, "Check the name, or download it and use local-dir:") from error
        self._model: Any = model.eval()
        self._prepare: Callable[[Image.Image], Tensor] = prepare

    @torch.no_grad()
    def images(self, pictures: Sequence[Image.Image], /) -> Tensor:
        """Embeddings [B, D] of length one of RGB pictures, prepared as the model wants them."""
        prepared = (self._prepare(picture)[None] for picture in pictures)
        return _unit([self._model.encode_image(pixels_CHW) for pixels_CHW in prepared])

    @torch.no_grad()
    def texts(self, texts: Sequence[str], /) -> Tensor:
        """Embeddings [B, D] of length one."""
        return _unit([self._model.encode_text(self._tokenize([text])) for text in texts])

    @property
    def scale(self) -> float:
        """What a cosine is multiplied by to be a logit."""
        return float(self._model.logit_scale.detach().exp())


def _tokenizer_options(name: str) -> dict[str, bool]:
    """What overrules a model's own configuration, which may ask for a tokenizer whose code is to be run.

    open_clip's built-in tokenizer, of models that name none, runs none and takes no such option.
    """
    import open_clip

    text = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    return {"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}


def _unit(vectors_1D: list[Tensor]) -> Tensor:
    return functional.normalize(torch.cat(vectors_1D).float(), dim=1)


def one_line(error: Exception) -> str:
    """What an error of a library says, in one line of bearable length."""
    return " ".join(str(error).split())[:200]
