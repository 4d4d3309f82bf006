from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch
from documents import CONFIG
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding, apply_rotary_pos_emb

from model.transformer.positions import frequency_axes, grid_positions, rotate, rotations, text_positions


@pytest.mark.parametrize("axes", ["interleaved", "contiguous"])
def test_text_is_ordinary_rope(axes: Literal["interleaved", "contiguous"]) -> None:
    config = replace(CONFIG, rope_axes=axes)
    qwen = Qwen2Config(
        hidden_size=48, num_attention_heads=6, rope_parameters={"rope_type": "default", "rope_theta": 1e6}
    )
    x_1TH = torch.randn(1, 50, 6, 8)
    cos, sin = Qwen2RotaryEmbedding(qwen)(x_1TH, torch.arange(50)[None])
    expected, _ = apply_rotary_pos_emb(x_1TH, x_1TH, cos, sin, unsqueeze_dim=2)
    assert torch.equal(
        rotate(x_1TH[0], *rotations(torch.from_numpy(text_positions(0, 50)), config)), expected[0]
    )


def test_frequencies_of_a_head_of_128() -> None:
    wide = replace(CONFIG, hidden=128, heads=1, kv_heads=1)
    assert frequency_axes(wide)[:6].tolist() == [0, 1, 2, 0, 1, 2]
    contiguous = frequency_axes(replace(wide, rope_axes="contiguous"))
    assert contiguous.bincount().tolist() == [16, 24, 24]
    assert bool((contiguous.diff() >= 0).all())


@given(st.integers(1, 8), st.integers(1, 8))
def test_every_grid_covers_the_range(height: int, width: int) -> None:
    positions = grid_positions(height, width, scale=2, boi=0, config=CONFIG)
    cell = 64 / (height * width) ** 0.5
    middle = positions[:, 1:].mean(0)
    assert middle == pytest.approx([cell * height / 2, cell * width / 2], rel=1e-5)
    assert positions[:, 1:].min() == pytest.approx(cell / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("offset", "expected"), [("scale", [12, 32, 32]), ("none", [2, 32, 32]), ("all", [12, 42, 42])]
)
def test_position_offset(offset: Literal["scale", "none", "all"], expected: list[float]) -> None:
    config = replace(CONFIG, position_offset=offset)
    assert grid_positions(1, 1, scale=2, boi=10, config=config).tolist() == [expected]


def test_scores_depend_on_differences_of_position_only() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 8, dtype=torch.float64)
    here, there = torch.tensor([[3.0, 10, 20]]), torch.tensor([[5.0, 4, 9]])

    def score(shift: float) -> float:
        turned = [rotate(x, *rotations(p + shift, CONFIG)) for x, p in ((query, here), (key, there))]
        return float((turned[0] * turned[1]).sum())

    assert score(0) == pytest.approx(score(7), abs=1e-5)
    assert score(0) != pytest.approx(float((query * key).sum()), abs=1e-3)
