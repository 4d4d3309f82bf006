from __future__ import annotations

from typing import Any

import pytest
import torch
from documents import CODES, CONFIG, SINGLE, SMALL, TEXTS, WIDE, make_model, text

from model.scales import ScaleSchedule
from model.transformer.generate import (
    SamplingOptions,
    Session,
    draw,
    generate_images,
    generate_indices,
)
from model.transformer.layout import ImagePart, TextPart, pack
from model.transformer.model import NextScaleTransformer

PROMPTS = [list(map(int, text(n, seed=n).ids)) for n in (7, 2, 0)]


@pytest.mark.parametrize("schedule", [SMALL, WIDE, SINGLE], ids=lambda s: s.name)
@pytest.mark.parametrize(
    "changes",
    [{}, {"position_offset": "none"}, {"position_offset": "all"}, {"rope_axes": "contiguous"},
     {"input_features": "accumulated"}],
    ids=str,
)  # fmt: skip
@torch.no_grad()
def test_cached_logits_are_those_of_the_full_pass(schedule: ScaleSchedule, changes: dict[str, Any]) -> None:
    """At every scale, with prompts of several lengths in one batch."""
    model = make_model(**changes)
    codes = torch.randint(CODES, (3, schedule.tokens), generator=torch.Generator().manual_seed(1))
    session = Session(model, PROMPTS, schedule)
    found = [session.logits(codes[:, : schedule.starts[s - 1]], s) for s in range(1, len(schedule.grids) + 1)]
    cached = torch.cat(found, dim=1)
    for row, prompt in enumerate(PROMPTS):
        part = ImagePart(schedule, codes[row].numpy(), codes[row].numpy())
        batch = pack([[TextPart(prompt), part]], model.config)
        hidden = model.hidden(batch)[batch.scale_T > 0]
        expected = model.logits(hidden)[:, TEXTS : TEXTS + CODES]
        assert torch.allclose(cached[row], expected, atol=1e-4)


def sample(model: NextScaleTransformer, rows: list[int], **options: Any) -> torch.Tensor:
    prompts = [PROMPTS[r] for r in rows]
    return generate_indices(model, prompts, WIDE, SamplingOptions(**options), [100 + r for r in rows])


@pytest.mark.parametrize(
    "options", [{"guidance": 1.0}, {"guidance": 3.0}, {"guidance": 2.0, "top_k": 5, "top_p": 0.9}], ids=str
)
def test_a_seed_gives_the_same_codes_in_any_batch(options: dict[str, float]) -> None:
    model = make_model()
    together = sample(model, [0, 1, 2], **options)
    assert torch.equal(together[[2, 0]], sample(model, [2, 0], **options))
    assert torch.equal(together[1:2], sample(model, [1], **options))
    assert torch.equal(together[2:], sample(model, [2], **options))
    assert bool(((together >= 0) & (together < CODES)).all())


def test_another_seed_gives_other_codes() -> None:
    model = make_model()
    prompts = [PROMPTS[0]] * 2
    codes = generate_indices(model, prompts, WIDE, SamplingOptions(), [1, 2])
    assert not torch.equal(codes[0], codes[1])


def test_guidance_moves_away_from_the_unconditional() -> None:
    """Guidance 0 ignores the prompt; greedy sampling with guidance depends on it."""
    model = make_model()
    for guidance, same in ((0.0, True), (4.0, False)):
        options = SamplingOptions(guidance=guidance, top_k=1)
        codes = generate_indices(model, PROMPTS[:2], WIDE, options, [1, 1])
        assert torch.equal(codes[0], codes[1]) is same


def test_pictures_come_from_the_decoder_and_progress_is_told() -> None:
    told: list[tuple[int, int]] = []

    def decode(indices_BN: torch.Tensor, schedule: ScaleSchedule) -> torch.Tensor:
        return indices_BN.float().mean(1).view(-1, 1, 1, 1).expand(-1, 3, schedule.height, schedule.width)

    made = generate_images(
        make_model(), decode, PROMPTS, SMALL, SamplingOptions(), [1, 2, 3], lambda *at: told.append(at)
    )
    assert made.indices_BN.shape == (3, 14)
    assert made.images_BCHW.shape == (3, 3, 12, 12)
    assert torch.equal(made.images_BCHW[:, 0, 0, 0], made.indices_BN.float().mean(1))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_logits_that_are_not_finite_stop_the_run() -> None:
    model = make_model()
    with torch.no_grad():
        model.visual.scale.weight[1].fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="not finite at scale 2"):
        sample(model, [0])


def test_prompts_need_seeds() -> None:
    with pytest.raises(ValueError, match="2 prompts with 1 seeds"):
        generate_indices(make_model(), PROMPTS[:2], SMALL, SamplingOptions(), [1])


def draws(probabilities: list[float], **options: Any) -> list[float]:
    """How often each code is drawn in 20,000 draws."""
    logits = torch.tensor(probabilities).log().expand(1, 20_000, -1)
    sampling = SamplingOptions(**options)
    codes = draw(logits, sampling.temperature, sampling, [torch.Generator().manual_seed(0)])
    return (codes.flatten().bincount(minlength=len(probabilities)) / 20_000).tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.4, 0.3, 0.0, 0.2, 0.1]),
        ({"top_k": 2}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_p": 0.6}, [4 / 7, 3 / 7, 0, 0, 0]),
        ({"top_p": 0.71}, [4 / 9, 3 / 9, 0, 2 / 9, 0]),
        ({"temperature": 0.5}, [16 / 30, 9 / 30, 0, 4 / 30, 1 / 30]),
    ],
    ids=str,
)
def test_draws_follow_the_options(options: dict[str, float], expected: list[float]) -> None:
    assert draws([0.4, 0.3, 0.0, 0.2, 0.1], **options) == pytest.approx(expected, abs=0.015)
    impossible = [
        d for d, e in zip(draws([0.4, 0.3, 0.0, 0.2, 0.1], **options), expected, strict=True) if e == 0
    ]
    assert not any(impossible)


def test_the_temperature_goes_from_the_first_scale_to_the_last() -> None:
    falling = SamplingOptions(temperature=1.0, final_temperature=0.2)
    assert [falling.temperature_at(at) for at in (0, 0.5, 1)] == pytest.approx([1.0, 0.6, 0.2])
    assert SamplingOptions(temperature=0.7).temperature_at(0.9) == 0.7


def test_a_cold_last_scale_takes_the_likeliest_codes_and_leaves_the_first_scale_alone() -> None:
    model = make_model()
    warm = sample(model, [0], guidance=1.0)
    cold = sample(model, [0], guidance=1.0, final_temperature=1e-4)
    session = Session(model, [PROMPTS[0]], WIDE)
    last = [session.logits(cold[:, :start], scale) for scale, start in enumerate(WIDE.starts, start=1)][-1]
    assert torch.equal(cold[:, WIDE.starts[-1] :], last.argmax(dim=-1))
    assert torch.equal(cold[:, :1], warm[:, :1])
    assert not torch.equal(cold, warm)


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"final_temperature": 0}, {"top_p": 0}, {"top_p": 1.1}, {"guidance": -1}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        SamplingOptions(**options)


def test_only_codes_are_sampled_even_where_text_is_likelier() -> None:
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight.mul_(100)
    assert int(sample(model, [0, 1]).max()) < CONFIG.codebook_size
