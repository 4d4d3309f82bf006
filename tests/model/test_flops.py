"""The numbers of the paper's A.2, and those of the real model, each counted a second way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from documents import CONFIG, WIDE, make_model
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model import flops
from model.scales import table14
from model.transformer.config import TransformerConfig
from model.transformer.cost import flops_per_position
from model.transformer.generate import SamplingOptions, generate_indices
from model.transformer.positions import rotations, text_positions

SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)
SQUARE = flops.level_schedule(1024)
QWEN = TransformerConfig.preset(
    "7b", text_vocabulary=152_064, codebook_size=32_768, codebook_width=40, end_id=151_643
)


def count_by_mask(lengths: Sequence[int], own: bool) -> tuple[int, int]:
    """Tokens, and pairs that the mask of steps allows, row by row."""
    step = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    pairs = sum(int(((step <= s) if own else (step < s)).sum()) for s in step)
    return len(step), pairs


def square_products(count: int, width: int) -> int:
    """FLOPs of one token through this many matrices of h x h, a multiplication and an addition each."""
    return sum(2 * width * width for _ in range(count))


def test_the_square_schedule_is_table_14s_row() -> None:
    row = next(s for s in table14(18) if s.name == "table14-18/64x64")
    assert SQUARE.grids == row.grids == tuple((side, side) for side in SIDES)


def test_printed_numbers_hold_with_a_prompt_of_100_as_a_first_step_and_the_own_step_seen() -> None:
    tokens, pairs = count_by_mask([100, *(side * side for side in SIDES)], own=True)
    assert (12 * tokens, 4 * pairs) == (122_208, 256_215_912)
    printed, *others = flops.readings(SQUARE, 100)
    assert (printed.cost.tokens, printed.cost.pairs) == (tokens, pairs)
    assert printed.cost == flops.PRINTED_NEXTFLOW
    assert all(other.cost != flops.PRINTED_NEXTFLOW for other in others)


@pytest.mark.parametrize("first", [[99, 1], [101, 1], [101], [1] * 101, [1]])
def test_no_other_prompt_gives_the_printed_numbers(first: list[int]) -> None:
    """Neither 99 nor 101 tokens, nor in one pass with the first scale, nor causal, nor none."""
    cost = flops.layer_cost(flops.cached_passes([*first, *(side * side for side in SIDES[1:])]))
    assert cost != flops.PRINTED_NEXTFLOW


def test_the_grids_of_table_14_give_other_numbers() -> None:
    _, own, before, _ = flops.readings(SQUARE, 100)
    for reading, sees_own in ((own, True), (before, False)):
        tokens, pairs = count_by_mask([side * side for side in SIDES], sees_own)
        assert (reading.cost.tokens, reading.cost.pairs) == (tokens, pairs)
    assert (own.cost.square, own.cost.linear) == (121_008, 252_142_312)
    assert (before.cost.square, before.cost.linear) == (121_008, 154_605_912)


def test_mmdit_computes_every_token_in_every_step() -> None:
    tokens = sum(64 * 64 for _ in range(18))
    pairs = sum(64 * 64 for _ in range(tokens))
    cost = flops.mmdit_cost(SQUARE)
    assert (cost.square, cost.linear) == (12 * tokens, 4 * pairs) == (884_736, 1_207_959_552)
    assert cost == flops.PRINTED_MMDIT


def test_eq_11_holds_at_2048_and_not_at_4096() -> None:
    printed = flops.readings(SQUARE, 100)[0].cost
    mmdit = flops.mmdit_cost(SQUARE)
    assert f"{mmdit.flops(2048):.2e} {printed.flops(2048):.2e}" == "6.18e+12 1.04e+12"
    assert f"{flops.flops_ratio(mmdit, printed, 2048):.2f}" == "5.96"
    assert f"{mmdit.flops(4096):.2e} {printed.flops(4096):.2e}" == "1.98e+13 3.10e+12"
    assert f"{flops.flops_ratio(mmdit, printed, 4096):.2f}" == "6.38"
    assert f"{mmdit.square / printed.square:.1f} {mmdit.linear / printed.linear:.1f}" == "7.2 4.7"


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 64))
def test_a_textbook_layer_has_six_square_matrices(queries: int, keys: int, hidden: int) -> None:
    """Four projections, and a feed-forward of two that does not widen; 2 h for a score, 2 h for a value."""
    pairs = sum(4 * hidden for _ in range(queries * keys))
    assert flops.attention_flops(queries, keys, hidden) == queries * square_products(4, hidden) + pairs
    assert flops.feed_forward_flops(queries, hidden) == queries * square_products(2, hidden)
    assert flops.layer_flops(queries, keys, hidden) == queries * square_products(6, hidden) + pairs


def test_a_feed_forward_four_times_as_wide_would_double_the_layer() -> None:
    assert square_products(4, 8) + 2 * (2 * 8 * 32) == 2 * flops.layer_flops(1, 0, 8)


@given(st.lists(st.integers(0, 6), max_size=6), st.booleans())
def test_cached_passes_are_the_mask_of_steps(lengths: list[int], own: bool) -> None:
    cost = flops.layer_cost(flops.cached_passes(lengths, own))
    assert (cost.tokens, cost.pairs) == count_by_mask(lengths or [0], own)


def test_uniform_steps_cost_four_times_as_much() -> None:
    """Figure 24's text calls the realistic schedule slightly better."""
    sides = flops.uniform_sides(64, 18)
    assert (sides[0], sides[-1], len(sides)) == (1, 64, 18)
    assert max(abs((b - a) - 63 / 17) for a, b in pairwise(sides)) <= 1
    uniform = flops.readings(SQUARE, 100)[-1].cost
    assert f"{flops.flops_ratio(flops.mmdit_cost(SQUARE), uniform, 2048):.2f}" == "1.44"


class GrowingAttention:
    """Attention over all keys and values that were ever given to a layer; no mask."""

    def __init__(self) -> None:
        self.kept = {layer: torch.empty(2, 0, CONFIG.kv_heads, 8) for layer in range(CONFIG.layers)}

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        self.kept[layer] = torch.cat([self.kept[layer], torch.stack([keys, values])], dim=1)
        each = CONFIG.heads // CONFIG.kv_heads
        keys_HSD, values_HSD = self.kept[layer].repeat_interleave(each, dim=2).transpose(1, 2)
        weights_HQS = (queries.transpose(0, 1) @ keys_HSD.transpose(1, 2)).softmax(-1)
        return (weights_HQS @ values_HSD).transpose(0, 1)

    @property
    def bytes(self) -> int:
        return sum(kept.to(torch.bfloat16).nbytes for kept in self.kept.values())


def forward_passes(prompt: int) -> tuple[int, int]:
    """An image after a prompt through the layers, pass by pass: FLOPs of the products, bytes kept."""
    model, attend = make_model(), GrowingAttention()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for place, length in enumerate([1] * prompt + list(WIDE.lengths)):
            rotation = rotations(torch.from_numpy(text_positions(0, length)), CONFIG)
            hidden_QE = model.model(torch.randn(length, CONFIG.hidden), rotation, attend)
            if place >= prompt:
                model.code_logits(hidden_QE)
    return int(counter.get_total_flops()), attend.bytes


@pytest.mark.parametrize("prompt", [0, 5])
def test_generation_is_what_torch_counts(prompt: int) -> None:
    count, kept = forward_passes(prompt)
    assert flops.generation_flops(CONFIG, WIDE, prompt, codes_only=True).total == count
    assert flops.cache_bytes(CONFIG) * (prompt + WIDE.tokens) == kept


@pytest.mark.parametrize(("guidance", "rows"), [(1.0, [5]), (2.0, [5, 0])])
def test_guidance_adds_an_image_without_a_prompt(guidance: float, rows: list[int]) -> None:
    """The whole of sampling also connects inputs: a little in a deep model."""
    model = make_model(layers=8)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        generate_indices(model, [[1] * 5], WIDE, SamplingOptions(guidance=guidance), [0])
    images = [flops.generation_flops(model.config, WIDE, prompt, codes_only=True) for prompt in rows]
    counted = sum(image.total for image in images)
    assert counted <= counter.get_total_flops() <= 1.05 * counted


def test_training_is_three_times_forward() -> None:
    """Measured on the layers' matrices; attention is replaced by a sum that needs no product."""

    def add(_layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        return queries + (keys + values).repeat_interleave(CONFIG.heads // CONFIG.kv_heads, dim=-2)

    model = make_model()
    rotation = rotations(torch.from_numpy(text_positions(0, 7)), CONFIG)
    x_TE = torch.randn(7, CONFIG.hidden, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        model.logits(model.model(x_TE, rotation, add)).sum().backward()
    assert counter.get_total_flops() == 3 * 7 * flops_per_position(CONFIG)
    position = flops.position_flops(CONFIG)
    assert position.layers + position.head == flops_per_position(CONFIG)


def test_an_image_of_training_is_its_caption_boi_and_eoi_included() -> None:
    lengths = [1] * 5 + [h * w for h, w in WIDE.grids] + [1]
    tokens, pairs = count_by_mask(lengths, own=True)
    forward = tokens * flops_per_position(CONFIG) + pairs * 4 * CONFIG.hidden * CONFIG.layers
    assert flops.training_flops(CONFIG, WIDE, 5) == pytest.approx(3 * forward)
    assert flops.training_flops(CONFIG, WIDE, 5, recompute=True) == pytest.approx(4 * forward)


def test_figures_of_the_7b_model() -> None:
    image = flops.generation_flops(QWEN, SQUARE, 100)
    assert image.total == pytest.approx(1.72e14, rel=0.002)
    guided = image.total + flops.generation_flops(QWEN, SQUARE).total
    assert guided == pytest.approx(3.42e14, rel=0.002)
    assert flops.cache_bytes(QWEN) == 57_344
    assert flops.position_flops(QWEN).layers / (28 * 3584**2) == pytest.approx(36.29, abs=0.01)
    codes = flops.generation_flops(QWEN, SQUARE, 100, codes_only=True)
    assert codes.total == pytest.approx(1.61e14, rel=0.002)
    assert flops.training_flops(QWEN, SQUARE, 100) == pytest.approx(3 * image.total, rel=0.001)


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match=r"no level 300; there are 256, 512, 1024$"):
        flops.level_schedule(300)
    with pytest.raises(ValueError, match="a prompt has 0 or more tokens, got -1"):
        flops.generation_flops(CONFIG, WIDE, -1)
    with pytest.raises(ValueError, match="a pass computes 0 or more tokens, got -3"):
        flops.readings(WIDE, -3)
