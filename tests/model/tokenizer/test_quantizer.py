"""The residual quantiser against a reference with loops, and the gradients it lets through."""

from __future__ import annotations

from dataclasses import replace

import quantizer_reference as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.scales import Grid, square, table14
from model.tokenizer import TokenizerConfig
from model.tokenizer.quantizer import SharedQuantizer, full_float32

TINY = TokenizerConfig.preset("tiny")
GRIDS: tuple[Grid, ...] = ((1, 1), (2, 3), (3, 5))


def make_quantizer(seed: int, weight: float = 1.0, unit_codes: bool = True) -> SharedQuantizer:
    torch.manual_seed(seed)
    return SharedQuantizer(replace(TINY, pixel_distance_weight=weight, unit_codes=unit_codes))


@given(st.integers(0, 10**6), st.sampled_from([0.25, 1.0, 4.0]), st.booleans())
@settings(max_examples=20, deadline=None)
def test_indices_equal_the_reference(seed: int, weight: float, unit_codes: bool) -> None:
    quantizer = make_quantizer(seed, weight, unit_codes)
    features = torch.randn(2, 40, 3, 5) * 3
    indices = torch.cat(quantizer(features, GRIDS).nearest, dim=1)
    for image, found in zip(features, indices.tolist(), strict=True):
        codebook = quantizer.codebook().detach()
        assert found == reference.quantise(image, GRIDS, codebook, 32, weight, unit_codes=unit_codes)


def test_a_reference_with_another_weight_or_order_differs() -> None:
    quantizer = make_quantizer(0)
    features = torch.randn(1, 40, 3, 5)
    indices = torch.cat(quantizer(features, GRIDS).nearest, dim=1)[0].tolist()
    codebook = quantizer.codebook().detach()
    assert indices != reference.quantise(features[0], GRIDS, codebook, 32, 0.0)
    assert indices != reference.quantise(features[0], GRIDS, codebook.flip(0), 32, 1.0)


def test_both_halves_of_every_code_have_length_one() -> None:
    semantic, pixel = make_quantizer(0).codebook().split((32, 8), dim=1)
    assert torch.allclose(semantic.norm(dim=1), torch.ones(64))
    assert torch.allclose(pixel.norm(dim=1), torch.ones(64))


def test_a_flat_area_says_that_nothing_is_left_only_with_codes_of_their_own_length() -> None:
    flat = torch.zeros(1, 40, 3, 5)
    for unit_codes in (False, True):
        quantizer = make_quantizer(0, unit_codes=unit_codes)
        quantizer.set_rows(torch.tensor([7]), torch.full((1, 40), 1e-6))
        explained = quantizer(flat, GRIDS).features
        assert bool(explained.abs().max() < 1e-3) != unit_codes


def test_indices_alone_give_the_quantised_features_back() -> None:
    quantizer, grids = make_quantizer(3), table14(5)[0].grids
    quantized = quantizer(torch.randn(2, 40, *grids[-1]), grids)
    again = quantizer.features(torch.cat(quantized.chosen, dim=1), grids)
    assert torch.allclose(quantized.features, again, atol=1e-5)


def test_gradients_pass_straight_through_to_the_features() -> None:
    quantizer = make_quantizer(0)
    features = torch.randn(1, 40, 4, 4, requires_grad=True)
    quantized = quantizer(features, square([1, 2, 4], 16).grids)
    quantized.features.square().sum().backward()
    assert features.grad is not None
    assert features.grad.abs().min() > 0
    assert quantizer.pixel_VP.grad is None


def test_the_codebook_learns_from_the_codes_alone() -> None:
    quantizer = make_quantizer(0)
    quantized = quantizer(torch.randn(1, 40, 2, 2), square([1, 2], 16).grids)
    torch.cat(quantized.codes, dim=1).sum().backward()
    assert quantizer.pixel_VP.grad is not None
    moved = quantizer.pixel_VP.grad.abs().sum(dim=1).nonzero()[:, 0].tolist()
    assert moved == torch.cat(quantized.nearest, dim=1).unique().tolist()


def test_autocast_changes_no_index() -> None:
    quantizer, features = make_quantizer(0), torch.randn(4, 40, 3, 5)
    plain = torch.cat(quantizer(features, GRIDS).nearest, dim=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = torch.cat(quantizer(features, GRIDS).nearest, dim=1)
    assert torch.equal(plain, rounded)


def test_full_float32_puts_the_precision_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with full_float32(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_without_semantic_codes_the_pixel_half_decides_alone() -> None:
    torch.manual_seed(0)
    quantizer = SharedQuantizer(TINY.pixel_branch())
    features = torch.randn(1, 8, 3, 5)
    indices = torch.cat(quantizer(features, GRIDS).nearest, dim=1)[0].tolist()
    assert indices == reference.quantise(features[0], GRIDS, quantizer.codebook().detach(), 0, 1.0)
