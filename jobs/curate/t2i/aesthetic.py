"""How a picture looks, as one number: LAION's predictor over CLIP, or a simple one from measures.

LAION's improved aesthetic predictor is linear layers without activations on CLIP ViT-L/14's embedding of
length one, trained on people's ratings (its file: sac+logos+ava1-l14-linearMSE).

Shapes: B pictures, D width of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from huggingface_hub import hf_hub_download
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from infra.errors import UserError
from jobs.curate.t2i.embedders import LOADING_ERRORS, OpenClip, one_line
from jobs.recipe.curation.t2i import LaionAesthetic, MeasuredAesthetic

COLOURFUL, CONTRASTY, SHARP = 110.0, 90.0, 10_000.0
"""Of Hasler and Süsstrunk's M3, the luminance's deviation and the Laplacian's variance: more adds nothing."""

MEASURES = ("colourfulness", "contrast", "sharpness")

_HUB = "hf-hub:"
_SETTING = "curation.t2i.embedding.aesthetic"


class Scorer(Protocol):
    """Gives a picture its aesthetic score."""

    def __call__(self, picture: Image.Image, measures: Mapping[str, float], /) -> float:
        """The score of an RGB picture, whose stored scores are `measures`."""
        ...


def open_scorer(settings: MeasuredAesthetic | LaionAesthetic) -> Scorer:
    """The scorer that the recipe names.

    Raises:
        UserError: its weights cannot be loaded.
    """
    return LaionScorer(settings) if isinstance(settings, LaionAesthetic) else measured_score


def measured_score(_picture: Image.Image, measures: Mapping[str, float], /) -> float:
    """0 to 10: the mean of colourfulness, contrast and sharpness, each from nothing to plenty.

    Sharpness counts by its logarithm. It tells lively pictures from dull ones, and good ones from bad ones
    only as far as that goes: noise scores high, a fine portrait in fog low.
    """
    sharpness = math.log1p(measures["sharpness"]) / math.log1p(SHARP)
    parts = (measures["colourfulness"] / COLOURFUL, measures["contrast"] / CONTRASTY, sharpness)
    return 10 * sum(min(1.0, part) for part in parts) / len(parts)


class AestheticPredictor(nn.Module):
    """LAION's layers under their published names, `layers.0` to `layers.7`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 1024),
            nn.Dropout(0.2),
            nn.Linear(1024, 128),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )

    def forward(self, embeddings_BD: Tensor) -> Tensor:
        """Scores [B], about 1 to 10, of embeddings of length one."""
        scores_B1: Tensor = self.layers(embeddings_BD)
        return scores_B1[:, 0]


class LaionScorer:
    """CLIP and the predictor over it."""

    def __init__(self, settings: LaionAesthetic) -> None:
        """Load both.

        Raises:
            UserError: one cannot be loaded.
        """
        self._predict = load_predictor(settings.weights)
        self._clip = OpenClip(settings.clip, f"{_SETTING}.clip")

    @torch.no_grad()
    def __call__(self, picture: Image.Image, _measures: Mapping[str, float], /) -> float:
        """The predicted rating."""
        embeddings_BD = self._clip.images([picture])
        wanted = self._predict.layers[0].in_features
        if embeddings_BD.shape[1] != wanted:
            what = f"this CLIP's embeddings have width {embeddings_BD.shape[1]}, the predictor reads {wanted}"
            raise UserError(what, f"{_SETTING}.clip", "Name the CLIP it was trained on: ViT-L/14 of OpenAI")
        return float(self._predict(embeddings_BD)[0])


def load_predictor(weights: str) -> AestheticPredictor:
    """The predictor with published weights: a `.safetensors` or `.pth` file, or `hf-hub:owner/name/file`.

    Raises:
        UserError: they cannot be read, or have other names or shapes.
    """
    try:
        state = _read(weights)
        predictor = AestheticPredictor(state["layers.0.weight"].shape[1])
        predictor.load_state_dict(state)
    except LOADING_ERRORS as error:
        what = f"not weights in LAION's layout: {one_line(error)}"
        raise UserError(what, f"{_SETTING}.weights: {weights}", "Use sac+logos+ava1-l14-linearMSE") from error
    return predictor.eval()


def _read(weights: str) -> dict[str, Tensor]:
    path = Path(_download(weights) if weights.startswith(_HUB) else weights).expanduser()
    if path.suffix != ".safetensors":
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}, not tensors by name")
        return state
    return load_file(path)


def _download(weights: str) -> str:
    owner, _, rest = weights.removeprefix(_HUB).partition("/")
    name, _, file = rest.partition("/")
    if not file:
        raise ValueError(f"expected {_HUB}owner/name/file")
    return str(hf_hub_download(f"{owner}/{name}", file))
