from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.transformer.sampling import SamplingOptions, TextSampling, draw, keep_likeliest


def draws(probabilities: list[float], **options: Any) -> list[float]:
    """How often each id is drawn in 20,000 draws."""
    logits = torch.tensor(probabilities).log().expand(1, 20_000, -1)
    sampling = TextSampling(**options)
    generators = [torch.Generator().manual_seed(0)]
    ids = draw(logits, sampling.temperature, sampling.top_k, sampling.top_p, generators)
    return (ids.flatten().bincount(minlength=len(probabilities)) / 20_000).tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.4, 0.3, 0.0, 0.2, 0.1]),
        ({"top_k": 1}, [1, 0, 0, 0, 0]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_p": 0.6}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_p": 0.71}, [4 / 9, 3 / 9, 0, 2 / 9, 0]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 0, 4 / 30, 1 / 30]),
    ],
    ids=str,
)
def test_draws_follow_the_options(options: dict[str, float], expected: list[float]) -> None:
    found = draws([0.4, 0.3, 0.0, 0.2, 0.1], **options)
    assert found == pytest.approx(expected, abs=0.015)
    assert not any(share for share, wanted in zip(found, expected, strict=True) if wanted == 0)


@given(st.integers(0, 2**31), st.integers(1, 300), st.floats(0.01, 0.999))
def test_the_likeliest_ids_are_those_that_a_sort_finds(seed: int, count: int, top_p: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = (3 * torch.randn(2, count, generator=generator)).softmax(-1)
    kept = keep_likeliest(probabilities, top_p)
    ordered, order = probabilities.sort(-1, descending=True)
    before = ordered.double().cumsum(-1) - ordered.double()
    for row in range(2):
        # Sums in another order may differ in the last bit: ids at the very edge may go either way.
        surely = order[row][before[row] < top_p - 1e-5]
        perhaps = order[row][before[row] < top_p + 1e-5]
        found = set(kept[row].nonzero().flatten().tolist())
        assert set(surely.tolist()) <= found <= set(perhaps.tolist())
    assert torch.equal(kept[kept > 0], probabilities[kept > 0])


def test_ties_are_kept() -> None:
    kept = keep_likeliest(torch.tensor([[0.4, 0.2, 0.2, 0.2]]), 0.5)
    assert kept.tolist() == [pytest.approx([0.4, 0.2, 0.2, 0.2])]


def test_temperature_and_guidance_go_from_the_first_scale_to_the_last() -> None:
    falling = SamplingOptions(temperature=1.0, final_temperature=0.2)
    assert [falling.temperature_at(at) for at in (0, 0.5, 1)] == pytest.approx([1.0, 0.6, 0.2])
    assert SamplingOptions(temperature=0.7).temperature_at(0.9) == 0.7
    rising = SamplingOptions(guidance=2.0, final_guidance=4.0)
    shares = [rising.branch_weights(scale, 3, False)["everything"] for scale in (1, 2, 3)]
    assert shares == pytest.approx([2.0, 3.0, 4.0])


def test_branches_that_do_not_count_are_left_out() -> None:
    assert SamplingOptions(guidance=1.0).branch_weights(1, 3, True) == {"everything": 1.0}
    assert SamplingOptions(guidance=3.0).branch_weights(1, 3, True) == {"everything": 3.0, "nothing": -2.0}
    edit = SamplingOptions(guidance=3.0, image_guidance=1.5, unguided_scales=1)
    assert edit.branch_weights(1, 3, True) == {"everything": 3.0, "images": -1.5, "nothing": -0.5}
    assert edit.branch_weights(1, 3, False) == {"everything": 3.0, "nothing": -2.0}
    assert edit.branch_weights(3, 3, True) == {"everything": 1.0}


@pytest.mark.parametrize(
    "options",
    [{"temperature": 0}, {"final_temperature": 0}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -1},
     {"guidance": -1}, {"image_guidance": -1}, {"final_guidance": -0.1}, {"unguided_scales": -1}],
    ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        SamplingOptions(**options)
    if options.keys() <= {"temperature", "top_k", "top_p"}:
        with pytest.raises(ValueError, match="out of range"):
            TextSampling(**options)
