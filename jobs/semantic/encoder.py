"""A semantic encoder ready for use, with the text tokenizer it was trained with: ours, or a published one.

Shapes: B pictures or texts, D width of an embedding, T positions of a text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, Siglip2Model

from infra.errors import UserError
from infra.manifest import find_manifest
from jobs.images import fit
from jobs.models import load_text, model_folder
from jobs.tensors import to_tensor
from model.semantic import embed_images, embed_texts, load_semantic_encoder, text_ids

_INPUTS_FILE = "text.json"

Tokenize = Callable[[Sequence[str]], Tensor]
"""Texts to ids [B, T]."""


@dataclass(frozen=True)
class TrainedOn:
    """How the inputs of an encoder of ours were made; lies beside its weights."""

    text_tokenizer: str
    context: int
    side: int
    """Pixels per side of the pictures."""

    def save(self, folder: Path) -> None:
        """Writes `text.json`."""
        text = json.dumps(asdict(self), indent=2, sort_keys=True)
        (folder / _INPUTS_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Reads `text.json`; None where there is none."""
        path = folder / _INPUTS_FILE
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


class DualEncoder:
    """Embeds pictures and texts one at a time: sums of floats depend on the size of a batch, and what stands
    beside a picture must not change where it lies."""

    def __init__(self, model: Siglip2Model, tokenize: Tokenize, side: int) -> None:
        self.model = model
        self._tokenize = tokenize
        self._side = side

    @torch.no_grad()
    def images(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Embeddings [B, D] of length one of RGB pictures, scaled and cropped to the encoder's square."""
        cropped = (fit(picture, self._side, self._side) for picture in pictures)
        return torch.cat([embed_images(self.model, to_tensor([picture])) for picture in cropped])

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings [B, D] of length one."""
        return torch.cat([embed_texts(self.model, self._tokenize([text])) for text in texts])

    @property
    def scale(self) -> float:
        """What a cosine is multiplied by to be a logit."""
        return float(self.model.logit_scale.detach().exp())


def load_encoder(place: str) -> DualEncoder:
    """Load an encoder, on the CPU.

    Args:
        place: the output of a finished `tokenizer/semantic`, or what the recipe names as `pretrained`: a
            local folder or a hub name with a SigLIP2 NaFlex model and its tokenizer.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        if find_manifest(place) is None:
            return _load(place)
        with model_folder(place) as folder:
            return _load(str(folder))
    except ValueError as error:
        mend = "Use a local folder or a hub name with a SigLIP2 NaFlex model in safetensors and its tokenizer"
        raise UserError(str(error), "tokenizer.semantic", mend) from error


def _load(name: str) -> DualEncoder:
    model = load_semantic_encoder(name)
    trained_on = TrainedOn.load(Path(name))
    if trained_on is None:
        vision = model.config.vision_config
        side = vision.patch_size * math.isqrt(vision.num_patches)
        return DualEncoder(model, _pretrained_tokenizer(name, model), side)
    text = load_text(trained_on.text_tokenizer)
    return DualEncoder(model, lambda texts: text_ids(text, texts, trained_on.context), trained_on.side)


def _pretrained_tokenizer(name: str, model: Siglip2Model) -> Tokenize:
    """The tokenizer that comes with published weights, used as in their training: lower case, padded."""
    tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    # Where there are no files of a tokenizer, transformers makes up one that knows special tokens alone.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ValueError(f"no tokenizer with words at {name!r}")
    context = model.config.text_config.max_position_embeddings

    def tokenize(texts: Sequence[str]) -> Tensor:
        lower = [text.lower() for text in texts]
        ids_BT: Tensor = tokenizer(
            lower, padding="max_length", max_length=context, truncation=True, return_tensors="pt"
        )["input_ids"]
        return ids_BT

    return tokenize
