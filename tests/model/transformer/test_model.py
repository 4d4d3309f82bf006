from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from documents import CODES, CONFIG, SMALL, TEXTS, WIDE, documents, image, make_model, text
from hypothesis import given, settings

from model.transformer.layout import ImagePart, Part, pack, position_count
from model.transformer.model import NextScaleTransformer

model = make_model()


@torch.no_grad()
def logits_of(documents: list[list[Part]], length: int | None = None) -> torch.Tensor:
    return model.logits(model.hidden(pack(documents, CONFIG, length)))


@settings(max_examples=25, deadline=None)
@given(documents())
def test_a_document_in_a_pack_is_as_if_alone(found: list[list[Part]]) -> None:
    together = logits_of(found, length=sum(position_count(d, CONFIG.context_mode) for d in found) + 3)
    at = 0
    for document in found:
        count = position_count(document, CONFIG.context_mode)
        if count:
            assert torch.allclose(together[at : at + count], logits_of([document]), atol=1e-4)
        at += count


@torch.no_grad()
def test_nothing_later_is_seen_and_the_own_block_is() -> None:
    """Changes to inputs reach exactly the positions that may see them."""
    document = [text(3), image(WIDE), text(2, seed=1)]
    before = logits_of([document])
    part = image(WIDE)
    changed = part.inputs.copy()
    changed[1] = (changed[1] + 1) % CODES  # the first code of scale 2 feeds block 3, at positions 6 to 11
    after = logits_of([[document[0], ImagePart(WIDE, changed, part.targets), document[2]]])
    differs = (before != after).any(-1)
    assert not differs[:6].any()
    assert differs[6:12].all()


def test_loss_of_a_pack_adds_up() -> None:
    a, b = [text(4), image(SMALL)], [text(3, seed=2), image(WIDE, seed=3), text(2)]
    with torch.no_grad():
        both = model(pack([a, b], CONFIG, length=60, alpha=0.9))
        alone = [model(pack([d], CONFIG, alpha=0.9)) for d in (a, b)]
    assert float(both.loss_sum) == pytest.approx(sum(float(r.loss_sum) for r in alone), rel=1e-5)
    assert float(both.weight_sum) == pytest.approx(sum(float(r.weight_sum) for r in alone))
    assert both.scale_counts_S[:5].tolist() == [5 + 6, 2, 4 + 2, 9 + 6, 8]


@torch.no_grad()
def test_loss_is_weighted_cross_entropy_over_the_unified_vocabulary() -> None:
    batch = pack([[text(4), image(SMALL)]], CONFIG, alpha=0.9)
    logits_TV = model.logits(model.hidden(batch))
    assert logits_TV.shape[-1] == TEXTS + CODES + 2
    log_p = logits_TV.log_softmax(-1)
    losses = [-float(log_p[t, y]) if y >= 0 else 0.0 for t, y in enumerate(batch.targets_T.tolist())]
    report = model(batch)
    assert float(report.loss_sum) == pytest.approx(np.dot(losses, batch.weights_T.numpy()), rel=1e-5)
    text_sum = sum(x for x, s in zip(losses, batch.scale_T.tolist(), strict=True) if s == 0)
    assert float(report.scale_sums_S[0]) == pytest.approx(text_sum, rel=1e-5)


def test_a_codebook_starts_the_embeddings_and_the_head() -> None:
    torch.manual_seed(0)
    fresh = NextScaleTransformer(CONFIG)
    codebook = torch.randn(CODES, 6)
    with torch.no_grad():
        fresh.lm_head.weight.add_(3.0)
    fresh.set_codebook(codebook)
    assert torch.equal(fresh.visual.codebook.weight, codebook)
    rows = (fresh.visual_head.weight - fresh.lm_head.weight.mean(0))[:CODES]
    alike = torch.corrcoef(torch.stack([cosines(rows), cosines(codebook)]))[0, 1]
    shuffled = torch.corrcoef(torch.stack([cosines(rows), cosines(codebook.flip(0))]))[0, 1]
    assert alike > 0.8
    assert shuffled < 0.3


def cosines(rows: torch.Tensor) -> torch.Tensor:
    """Of all pairs of different rows."""
    unit = torch.nn.functional.normalize(rows, dim=1)
    return (unit @ unit.T)[torch.triu(torch.ones(len(rows), len(rows), dtype=torch.bool), 1)]


def test_new_parameters_are_what_images_brought() -> None:
    new = model.new_parameters()
    assert {n.split(".")[0] for n in new} == {"visual", "visual_head"}
    assert {n.split(".")[0] for n, _ in model.named_parameters() if n not in new} == {"model", "lm_head"}


def test_every_parameter_learns() -> None:
    student = make_model()
    student(pack([[text(3), image(SMALL)], [text(4), image(WIDE)]], CONFIG)).loss_sum.backward()
    gradients = {name: p.grad for name, p in student.named_parameters()}
    assert [n for n, g in gradients.items() if g is None or not g.any()] == []


@torch.no_grad()
def test_half_precision_stays_close() -> None:
    batch = pack([[text(3), image(WIDE)]], CONFIG)
    exact, rounded = model(batch), make_model().bfloat16()(batch)
    assert float(rounded.loss_sum) == pytest.approx(float(exact.loss_sum), rel=0.05)


def test_a_batch_moves_whole() -> None:
    batch = pack([[text(3), image(WIDE)]], CONFIG).to("meta")
    tensors = [v for o in (batch, *batch.images) for v in vars(o).values() if isinstance(v, torch.Tensor)]
    assert len(tensors) == 9
    assert {t.device.type for t in tensors} == {"meta"}


def learn(targets: list[ImagePart], steps: int = 60) -> float:
    """Loss per code after training on the same caption with images taken in turn."""
    student = make_model(seed=1).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    loss = torch.zeros(())
    for step in range(steps):
        batch = pack([[text(4, loss=False), targets[step % len(targets)]]], CONFIG)
        report = student(batch)
        loss = report.loss_sum / report.weight_sum
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_one_document_is_learned_and_shuffled_targets_are_not() -> None:
    part = image(SMALL)
    shuffled = [replace(part, targets=np.random.default_rng(s).permutation(part.targets)) for s in range(60)]
    assert learn([part]) < 0.1
    assert learn(shuffled) > 1.0
