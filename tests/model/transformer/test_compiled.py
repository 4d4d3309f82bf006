"""Compiled pieces of layers: the same numbers; no other scale, layer or prompt needs the compiler again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from documents import CODES, CONFIG, SMALL, WIDE, image, make_model, text
from torch import Tensor, nn
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch._dynamo.utils import counters

from model.scales import ScaleSchedule
from model.transformer.decoder import DecoderLayer
from model.transformer.generate import generate
from model.transformer.kernels import compiled_for_any_length
from model.transformer.layout import Part, TextPart, pack
from model.transformer.model import NextScaleTransformer
from model.transformer.sampling import SamplingOptions
from model.transformer.session import Session
from model.transformer.writer import Request

CONTEXTS: list[list[Part]] = [[text(7)], [text(2)], [image(SMALL, 3, loss=False), text(4, 1)]]


def graphs() -> int:
    """How many graphs were compiled in this process."""
    return int(counters["stats"]["unique_graphs"])


@pytest.fixture(scope="module")
def model() -> NextScaleTransformer:
    """A model whose pieces are compiled: for several positions, and for one."""
    compiled = make_model()
    compiled.model.set_compilation(True)
    before = graphs()
    with torch.no_grad():  # as many positions as the model is wide, which the compiler must not confuse
        compiled.hidden(pack([[text(CONFIG.hidden)]], CONFIG))
    generate(compiled, [Request(seed=0, context=(text(3),), schedule=SMALL)], SamplingOptions(guidance=1.0))
    assert graphs() - before == 4
    return compiled


@torch.no_grad()
def logits(model: NextScaleTransformer, schedule: ScaleSchedule) -> Tensor:
    """Of all scales of three images in one batch, after contexts of several lengths, and of text after."""
    rows = range(len(CONTEXTS))
    codes = torch.randint(CODES, (len(rows), schedule.tokens), generator=torch.Generator().manual_seed(1))
    session = Session(model, len(rows), 200)
    session.read(rows, CONTEXTS)
    found = [
        session.scale_logits(rows, codes[:, :start], schedule, scale)
        for scale, start in enumerate(schedule.starts, start=1)
    ]
    session.end_image(rows, schedule)
    found.append(model.text_logits(session.append_text([1], [5])))
    return torch.cat([logits.flatten() for logits in found])


@pytest.mark.parametrize("schedule", [SMALL, WIDE], ids=lambda s: s.name)
def test_compiled_logits_are_the_plain_ones_at_every_scale(
    model: NextScaleTransformer, schedule: ScaleSchedule
) -> None:
    before = graphs()
    torch.testing.assert_close(logits(model, schedule), logits(make_model(), schedule), atol=1e-5, rtol=1e-5)
    assert graphs() == before


def test_other_prompts_scales_and_layers_compile_nothing(model: NextScaleTransformer) -> None:
    """Text and images, alone and together, guided or not."""
    before = graphs()
    for length in (1, 2, 5, CONFIG.head_width, CONFIG.hidden, 61):
        context = (TextPart(text(length).ids, loss=False),)
        requests = [
            Request(seed=1, context=context, schedule=WIDE),
            Request(seed=2, context=context, schedule=SMALL, text_first=True, until_end=True, max_text=4),
        ]
        for asked in (requests[:1], requests):
            plain = generate(make_model(), asked)
            assert described(generate(model, asked)) == described(plain)
    assert graphs() == before


def described(documents: list[tuple[Part, ...]]) -> list[list[int]]:
    return [
        list(map(int, part.ids if isinstance(part, TextPart) else part.targets))
        for parts in documents
        for part in parts
    ]


def test_without_marks_every_length_would_compile_anew(model: NextScaleTransformer) -> None:
    """The count notices: what the compiler does by itself with three lengths."""
    project: Any = torch.compile(DecoderLayer.project, dynamic=False, backend="eager")
    before = graphs()
    with torch.no_grad():
        for length in (3, 5, 7):
            angles = torch.ones(length, CONFIG.head_width)
            project(model.model.layers[0], torch.ones(length, CONFIG.hidden), angles, angles)
    assert graphs() - before == 3


def test_learning_stays_as_it_was(model: NextScaleTransformer) -> None:
    """With gradients nothing is compiled, hooks run, and checkpoints are repeated."""
    before = graphs()
    plain = make_model()
    gradients = []
    for student in (plain, model):
        calls: list[int] = []
        handle = student.model.layers[0].self_attn.register_forward_hook(lambda *_, to=calls: to.append(1))
        student.model.set_checkpointing(True)
        student(pack([[text(5), image(SMALL)]], CONFIG)).loss_sum.backward()
        student.model.set_checkpointing(False)
        handle.remove()
        assert calls == [1, 1]
        gradients.append({name: p.grad for name, p in student.named_parameters()})
        student.zero_grad()
    assert all(torch.equal(gradient, gradients[1][name]) for name, gradient in gradients[0].items())
    assert graphs() == before


def test_it_can_be_turned_off_and_on_again(model: NextScaleTransformer) -> None:
    before = graphs()
    on = logits(model, WIDE)
    model.model.set_compilation(False)
    off = logits(model, WIDE)
    assert torch.equal(off, logits(make_model(), WIDE))
    model.model.set_compilation(True)
    assert torch.equal(logits(model, WIDE), on)
    assert graphs() == before


def scaled(norm: nn.RMSNorm, x_TE: Tensor) -> Tensor:
    return x_TE * norm.weight


@torch.no_grad()
def test_models_of_other_widths_do_not_use_up_the_versions_that_torch_keeps() -> None:
    """Each model's pieces are counted alone. Counted together, too many are an error, not silently slow."""
    narrow, wide = nn.RMSNorm(4), nn.RMSNorm(5)
    with torch._dynamo.config.patch(recompile_limit=1):
        for norm in (narrow, wide):
            assert compiled_for_any_length(scaled)(norm, torch.ones(3, *norm.normalized_shape)).all()
        together = compiled_for_any_length(scaled)
        together(narrow, torch.ones(3, 4))
        with pytest.raises(FailOnRecompileLimitHit):
            together(wide, torch.ones(3, 5))
