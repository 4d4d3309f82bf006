from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from documents import CODES, CONFIG, SINGLE, SMALL, TEXTS, WIDE, image, make_model, text
from torch import Tensor

from model.scales import ScaleSchedule
from model.transformer.generate import Request, generate, generate_images, generate_indices
from model.transformer.layout import ImagePart, Part, TextPart, pack
from model.transformer.model import NextScaleTransformer
from model.transformer.sampling import SamplingOptions, TextSampling
from model.transformer.session import Session

PROMPTS = [list(map(int, text(n, seed=n).ids)) for n in (7, 2, 0)]
EDIT = (image(SMALL, 3, loss=False), text(4, 1, loss=False))
TWO_IMAGES = (image(SMALL, 3, loss=False), text(2, 1, loss=False), image(WIDE, 4, loss=False))
READINGS = [
    {},
    {"position_offset": "none"},
    {"position_offset": "all"},
    {"rope_axes": "contiguous"},
    {"input_features": "accumulated"},
    {"context_mode": "native"},
    {"context_mode": "final"},
    {"context_mode": "native", "input_features": "accumulated"},
]


def as_read(parts: tuple[Part, ...]) -> list[Part]:
    return [TextPart(part.ids, loss=False) if isinstance(part, TextPart) else part for part in parts]


@torch.no_grad()
def full_pass(model: NextScaleTransformer, parts: list[Part]) -> Tensor:
    """Hidden states [T, E] of a document, without a cache."""
    return model.hidden(pack([parts], model.config))


@torch.no_grad()
def expected_logits(model: NextScaleTransformer, context: list[Part], part: ImagePart) -> Tensor:
    """Logits [N, V] of an image's codes after a context, from one pass without a cache."""
    hidden_TE = full_pass(model, [*context, part])[-part.schedule.tokens - 1 : -1]
    return model.logits(hidden_TE)[:, TEXTS : TEXTS + CODES]


@pytest.mark.parametrize("schedule", [SMALL, WIDE, SINGLE], ids=lambda s: s.name)
@pytest.mark.parametrize("changes", READINGS, ids=str)
@torch.no_grad()
def test_cached_logits_are_those_of_the_full_pass(schedule: ScaleSchedule, changes: dict[str, Any]) -> None:
    """At every scale, after contexts of several lengths, with and without images, in one batch."""
    model = make_model(**changes)
    contexts: list[list[Part]] = [[TextPart(PROMPTS[0])], [TextPart(PROMPTS[1])], [*EDIT], [*TWO_IMAGES], []]
    codes = torch.randint(CODES, (5, schedule.tokens), generator=torch.Generator().manual_seed(1))
    session = Session(model, 5, 100)
    session.read(range(4), contexts[:4])
    found = [
        session.scale_logits(range(5), codes[:, :start], schedule, scale)
        for scale, start in enumerate(schedule.starts, start=1)
    ]
    cached = torch.cat(found, dim=1)
    for row, context in enumerate(contexts):
        part = ImagePart(schedule, codes[row].numpy(), codes[row].numpy())
        torch.testing.assert_close(cached[row], expected_logits(model, context, part), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_half_precision_stays_in_a_band() -> None:
    """bf16 keeps 8 bits: logits differ by a few percent of their spread, and more than by fp32."""
    model = make_model()
    codes = torch.randint(CODES, (1, WIDE.tokens), generator=torch.Generator().manual_seed(1))
    part = ImagePart(WIDE, codes[0].numpy(), codes[0].numpy())
    exact = expected_logits(model, [*EDIT], part)
    session = Session(model.bfloat16(), 1, 100)
    session.read([0], [EDIT])
    found = [
        session.scale_logits([0], codes[:, :start], WIDE, scale)
        for scale, start in enumerate(WIDE.starts, start=1)
    ]
    error = (torch.cat(found, dim=1)[0].float() - exact).abs().max() / exact.std()
    assert 1e-4 < error < 0.1


@pytest.mark.parametrize("changes", READINGS, ids=str)
def test_an_interleaved_document_is_what_the_full_pass_would_write(changes: dict[str, Any]) -> None:
    """Greedy text and images in one cache: every id and code is the likeliest after all before it."""
    model = make_model(**changes)
    with torch.no_grad():
        model.visual_head.weight[CODES] *= 3  # `<boi>` comes sooner
    request = Request(
        seed=0, context=EDIT, schedule=WIDE, images=2, text_first=True, until_end=True, max_text=9
    )
    greedy = SamplingOptions(guidance=1.0, top_k=1)
    (parts,) = generate(model, [request], greedy, TextSampling(top_k=1))
    assert sum(isinstance(part, ImagePart) for part in parts) == 2
    assert any(isinstance(part, TextPart) for part in parts)
    for number, part in enumerate(parts):
        before = [*EDIT, *parts[:number]]
        if isinstance(part, ImagePart):
            likeliest = expected_logits(model, before, part).argmax(-1)
            assert likeliest.tolist() == part.targets.tolist()
        else:
            hidden_TE = full_pass(model, [*before, part])[-len(part.ids) - 1 : -1]
            allowed = model.text_logits(hidden_TE)
            if sum(isinstance(p, ImagePart) for p in parts[:number]) == 2:
                allowed[:, TEXTS] = -torch.inf
            assert allowed.argmax(-1).tolist() == list(part.ids)


def sample(model: NextScaleTransformer, rows: list[int], **options: Any) -> Tensor:
    prompts = [PROMPTS[r] for r in rows]
    return generate_indices(model, prompts, WIDE, SamplingOptions(**options), [100 + r for r in rows])


@pytest.mark.parametrize(
    "options",
    [
        {"guidance": 1.0},
        {"guidance": 3.0},
        {"guidance": 2.0, "top_k": 5, "top_p": 0.9},
        {"guidance": 3.0, "final_guidance": 1.0, "unguided_scales": 1},
    ],
    ids=str,
)
def test_a_seed_gives_the_same_codes_in_any_batch(options: dict[str, float]) -> None:
    model = make_model()
    together = sample(model, [0, 1, 2], **options)
    assert torch.equal(together[[2, 0]], sample(model, [2, 0], **options))
    assert torch.equal(together[1:2], sample(model, [1], **options))
    assert torch.equal(together[2:], sample(model, [2], **options))
    assert bool(((together >= 0) & (together < CODES)).all())


REQUESTS = [
    Request(seed=1, context=(TextPart(PROMPTS[0]),), schedule=WIDE),
    Request(seed=2, context=EDIT, schedule=SMALL),
    Request(seed=3, context=(TextPart(PROMPTS[1]),), schedule=WIDE, text_first=True, max_text=5),
    Request(seed=4, context=TWO_IMAGES, images=0, text_first=True, max_text=6),
    Request(seed=5, context=EDIT, schedule=SMALL, images=2, text_first=True, until_end=True, max_text=7),
    Request(seed=6, schedule=WIDE),
]


def described(parts: tuple[Part, ...]) -> list[tuple[str, list[int]]]:
    return [
        (part.schedule.name, part.targets.tolist())
        if isinstance(part, ImagePart)
        else ("text", list(map(int, part.ids)))
        for part in parts
    ]


@pytest.mark.parametrize("image_guidance", [None, 1.5])
def test_requests_of_every_kind_go_together_as_they_go_alone(image_guidance: float | None) -> None:
    model = make_model()
    sampling = SamplingOptions(guidance=3.0, image_guidance=image_guidance)
    together = generate(model, REQUESTS, sampling)
    for request, parts in zip(REQUESTS, together, strict=True):
        (alone,) = generate(model, [request], sampling)
        assert described(alone) == described(parts)
    kinds = [[kind for kind, _ in described(parts)] for parts in together]
    assert kinds[0] == [WIDE.name]
    assert kinds[1] == [SMALL.name]
    assert kinds[2] in ([WIDE.name], ["text", WIDE.name])
    assert set(kinds[3]) <= {"text"}


@pytest.mark.parametrize(("guidance", "image_guidance"), [(3.0, 1.5), (2.0, None), (4.0, 1.0), (1.0, 1.0)])
def test_an_edit_is_guided_by_three_branches(guidance: float, image_guidance: float | None) -> None:
    """Greedy codes follow nothing + image_guidance * (images - nothing) + guidance * (all - images)."""
    model = make_model()
    request = Request(seed=0, context=EDIT, schedule=WIDE)
    sampling = SamplingOptions(guidance=guidance, image_guidance=image_guidance, top_k=1)
    ((made,),) = generate(model, [request], sampling)
    assert isinstance(made, ImagePart)
    nothing, images, everything = (expected_logits(model, c, made) for c in ([], [EDIT[0]], [*EDIT]))
    for_images = guidance if image_guidance is None else image_guidance
    mixed = nothing + for_images * (images - nothing) + guidance * (everything - images)
    assert mixed.argmax(-1).tolist() == made.targets.tolist()
    if guidance != 1:
        assert everything.argmax(-1).tolist() != made.targets.tolist()


def test_later_images_are_guided_by_the_images_before_them() -> None:
    """A document that goes on after an image keeps the row that knows its images alone."""
    model = make_model()
    request = Request(seed=0, context=EDIT, schedule=WIDE, images=2, until_end=True, max_text=3)
    with torch.no_grad():
        model.visual_head.weight[CODES] *= 20
    sampling = SamplingOptions(guidance=3.0, image_guidance=1.5, top_k=1)
    (parts,) = generate(model, [request], sampling, TextSampling(top_k=1))
    made = [part for part in parts if isinstance(part, ImagePart)]
    assert len(made) == 2
    before = parts[: next(n for n, part in enumerate(parts) if part is made[1])]
    images = expected_logits(model, [EDIT[0], made[0]], made[1])
    everything, nothing = (
        expected_logits(model, [*EDIT, *before], made[1]),
        expected_logits(model, [], made[1]),
    )
    mixed = nothing + 1.5 * (images - nothing) + 3.0 * (everything - images)
    assert mixed.argmax(-1).tolist() == made[1].targets.tolist()


def test_a_thought_comes_before_the_picture_and_is_read() -> None:
    model = make_model()
    request = Request(seed=3, context=(TextPart(PROMPTS[0]),), schedule=WIDE, text_first=True, max_text=4)
    (parts,) = generate(model, [request], SamplingOptions(guidance=1.0, top_k=1), TextSampling(top_k=1))
    *thought, picture = parts
    assert isinstance(picture, ImagePart)
    assert sum(len(part.ids) for part in thought if isinstance(part, TextPart)) <= 4
    likeliest = expected_logits(model, [TextPart(PROMPTS[0]), *thought], picture).argmax(-1)
    assert likeliest.tolist() == picture.targets.tolist()


def test_text_ends_at_the_end_token_or_when_it_is_long_enough() -> None:
    model = make_model()
    request = Request(seed=0, context=(TextPart(PROMPTS[0]),), images=0, text_first=True, max_text=6)
    (parts,) = generate(model, [request])
    written = [int(token) for part in parts if isinstance(part, TextPart) for token in part.ids]
    assert 0 < len(written) <= 6
    assert CONFIG.end_id not in written
    assert max(written) < TEXTS
    with torch.no_grad():
        model.lm_head.weight.zero_()
        hidden = full_pass(model, [TextPart(PROMPTS[0])])[-1]
        model.lm_head.weight[CONFIG.end_id] = hidden * 100
    assert generate(model, [request]) == [()]


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


def test_the_last_scales_can_go_without_guidance() -> None:
    model = make_model()
    options = SamplingOptions(guidance=4.0, unguided_scales=1, top_k=1)
    codes = generate_indices(model, [PROMPTS[0]], WIDE, options, [1])[0].numpy()
    part = ImagePart(WIDE, codes, codes)
    alone, nothing = expected_logits(model, [TextPart(PROMPTS[0])], part), expected_logits(model, [], part)
    start = WIDE.starts[-1]
    guided = nothing + 4.0 * (alone - nothing)
    assert codes[start:].tolist() == alone[start:].argmax(-1).tolist()
    assert codes[:start].tolist() == guided[:start].argmax(-1).tolist()
    assert guided[start:].argmax(-1).tolist() != alone[start:].argmax(-1).tolist()


def test_pictures_come_from_the_decoder_and_progress_is_told() -> None:
    told: list[tuple[int, int, str]] = []

    def decode(indices_BN: Tensor, schedule: ScaleSchedule) -> Tensor:
        return indices_BN.float().mean(1).view(-1, 1, 1, 1).expand(-1, 3, schedule.height, schedule.width)

    made = generate_images(
        make_model(), decode, PROMPTS, SMALL, SamplingOptions(), [1, 2, 3], lambda *at: told.append(at)
    )
    assert made.indices_BN.shape == (3, 14)
    assert made.images_BCHW.shape == (3, 3, 12, 12)
    assert torch.equal(made.images_BCHW[:, 0, 0, 0], made.indices_BN.float().mean(1))
    assert told == [(3, 9, "scales"), (6, 9, "scales"), (9, 9, "scales")]


def test_progress_tells_the_tokens_of_text_beside_the_scales() -> None:
    """What is told last is what was written, of what may be written; counts never fall."""
    told: dict[str, list[tuple[int, int]]] = {"scales": [], "tokens": []}

    def tell(done: int, most: int, unit: str) -> None:
        told[unit].append((done, most))

    parts = [part for parts in generate(make_model(), REQUESTS, progress=tell) for part in parts]
    tokens = sum(len(part.ids) for part in parts if isinstance(part, TextPart))
    scales = sum(len(part.schedule.grids) for part in parts if isinstance(part, ImagePart))
    assert tokens > 3
    assert told["tokens"][-1] == (tokens, 5 + 6 + 7)
    assert told["scales"][-1] == (scales, 4 + 3 + 4 + 2 * 3 + 4)
    assert all(counts == sorted(counts) for counts in told.values())


def test_text_alone_tells_one_token_after_another() -> None:
    told: list[tuple[int, int, str]] = []
    request = Request(seed=4, context=TWO_IMAGES, images=0, text_first=True, max_text=6)
    ((written,),) = generate(make_model(), [request], progress=lambda *at: told.append(at))
    assert isinstance(written, TextPart)
    assert told[: len(written.ids)] == [(n + 1, 6, "tokens") for n in range(len(written.ids))]


def test_logits_that_are_not_finite_stop_the_run() -> None:
    model = make_model()
    with torch.no_grad():
        model.visual.scale.weight[1].fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="not finite at scale 2"):
        sample(model, [0])
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="not finite of text"):
        generate(model, [REQUESTS[3]])


def test_what_cannot_be_written_is_refused() -> None:
    model = make_model(max_positions=40)
    with pytest.raises(ValueError, match="2 prompts with 1 seeds"):
        generate_indices(model, PROMPTS[:2], SMALL, SamplingOptions(), [1])
    with pytest.raises(ValueError, match=r"30 positions to read and up to 15 to write exceed the model's 40"):
        generate(model, [Request(seed=0, context=(text(30),), schedule=SMALL)])
    with pytest.raises(ValueError, match="nothing to continue"):
        generate(model, [Request(seed=0, images=0, text_first=True, max_text=3)])
    with pytest.raises(ValueError, match="a schedule for its images"):
        Request(seed=0)
    with pytest.raises(ValueError, match="images, text, or both"):
        Request(seed=0, images=0)


def test_only_codes_are_sampled_even_where_text_is_likelier() -> None:
    model = make_model()
    with torch.no_grad():
        model.lm_head.weight.mul_(100)
    assert int(sample(model, [0, 1]).max()) < CONFIG.codebook_size


def test_a_cold_last_scale_takes_the_likeliest_codes_and_leaves_the_first_scale_alone() -> None:
    model = make_model()
    warm = sample(model, [0], guidance=1.0)
    cold = sample(model, [0], guidance=1.0, final_temperature=1e-4)
    part = ImagePart(WIDE, *np.stack([cold[0].numpy()] * 2))
    likeliest = expected_logits(model, [TextPart(PROMPTS[0])], part).argmax(-1)
    start = WIDE.starts[-1]
    assert torch.equal(cold[0, start:], likeliest[start:])
    assert torch.equal(cold[:, :1], warm[:, :1])
    assert not torch.equal(cold, warm)
