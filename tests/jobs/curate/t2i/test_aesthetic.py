"""Aesthetic scores: LAION's predictor against an independent reading of it, and the simple scorer."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from curate.t2i.hostile import photo
from curate.t2i.published import CLIP_WIDTH, publish_clip
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from infra.errors import UserError
from jobs.curate.t2i.aesthetic import LaionScorer, load_predictor, measured_score
from jobs.curate.t2i.embedders import OpenClip
from jobs.recipe.curation.t2i import LaionAesthetic

SIZES = {"0": (1024, CLIP_WIDTH), "2": (128, 1024), "4": (64, 128), "6": (16, 64), "7": (1, 16)}
"""Names and shapes of the published file's layers; 1, 3 and 5 are dropout."""


def random_weights(width: int = CLIP_WIDTH) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, (rows, columns) in SIZES.items():
        shape = (rows, width if name == "0" else columns)
        state[f"layers.{name}.weight"] = torch.randn(shape, generator=generator) / shape[1] ** 0.5
        state[f"layers.{name}.bias"] = torch.randn(rows, generator=generator)
    return state


def reference(state: dict[str, Tensor], vector: npt.NDArray[np.float64]) -> float:
    """The published network in doubles: five matrices one after the other, nothing between them."""
    for name in SIZES:
        weight, bias = (state[f"layers.{name}.{part}"].double().numpy() for part in ("weight", "bias"))
        vector = weight @ vector + bias
    return float(vector[0])


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_the_predictor_agrees_with_an_independent_one(tmp_path: Path, suffix: str) -> None:
    state, path = random_weights(), tmp_path / f"weights.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    predictor = load_predictor(str(path))
    vectors = np.random.default_rng(0).normal(size=(5, CLIP_WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with torch.no_grad():
        found = predictor(torch.from_numpy(vectors).float())
    assert found.tolist() == pytest.approx([reference(state, vector) for vector in vectors], rel=1e-4)
    assert predictor.state_dict().keys() == state.keys()


def test_a_picture_is_scored_by_its_clip_embedding_of_length_one(tmp_path: Path) -> None:
    state, weights = random_weights(), tmp_path / "weights.safetensors"
    save_file(state, weights)
    clip = publish_clip(tmp_path / "clip")
    score = LaionScorer(LaionAesthetic(weights=str(weights), clip=clip))
    for seed in range(3):
        (vector,) = OpenClip(clip, "").images([photo(seed)]).double().numpy()
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        assert score(photo(seed), {}) == pytest.approx(reference(state, vector), rel=1e-4)


def test_a_clip_of_another_width_is_one_line(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(random_weights(512), weights)
    score = LaionScorer(LaionAesthetic(weights=str(weights), clip=publish_clip(tmp_path / "clip")))
    with pytest.raises(UserError, match=f"width {CLIP_WIDTH}, the predictor reads 512"):
        score(photo(0), {})


class Bomb:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["missing", "noise", "names", "bomb", "hub", "tensor", "empty"])
def test_weights_that_are_none_are_one_line_and_run_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("weights.pth" if kind in ("bomb", "tensor", "empty") else "weights.safetensors")
    if kind == "noise":
        path.write_bytes(b"\0" * 40)
    elif kind == "names":
        save_file({"mlp.0.weight": torch.zeros(2, 2)}, path)
    elif kind == "tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "bomb":
        path.write_bytes(pickle.dumps(Bomb(tmp_path / "touched")))
    with pytest.raises(UserError, match="not weights in LAION's layout"):
        load_predictor("hf-hub:owner" if kind == "hub" else str(path))
    assert not (tmp_path / "touched").exists()


MEASURES = st.fixed_dictionaries(
    {name: st.floats(0, 1e6) for name in ("colourfulness", "contrast", "sharpness")}
)


@given(MEASURES, MEASURES)
def test_the_simple_score_only_rises_with_its_measures(one: dict[str, float], two: dict[str, float]) -> None:
    both = {name: max(one[name], two[name]) for name in one}
    scores = [measured_score(photo(0), measures) for measures in (one, two, both)]
    assert all(0 <= score <= 10 for score in scores)
    assert scores[2] >= max(scores[:2])


def test_a_lively_picture_scores_higher_than_a_dull_one() -> None:
    dull = {"colourfulness": 2.0, "contrast": 8.0, "sharpness": 10.0}
    lively = {"colourfulness": 60.0, "contrast": 55.0, "sharpness": 900.0}
    assert measured_score(photo(0), dull) < 2 < 6 < measured_score(photo(0), lively)
