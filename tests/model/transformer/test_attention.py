"""Both ways to attend over a pack follow the rule, written here anew as a softmax over allowed keys."""

from __future__ import annotations

import pytest
import torch
from documents import CONFIG, SMALL, WIDE, documents, image, make_model, text
from hypothesis import given, settings
from torch import Tensor

from model.transformer.attention import FlexPackedAttention, PackedAttention, block_mask
from model.transformer.layout import PackedBatch, Part, pack
from model.transformer.positions import rotations

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
model = make_model()
HEADS, GROUPS, WIDTH = CONFIG.heads, CONFIG.kv_heads, CONFIG.head_width
BOTH = pytest.mark.parametrize("attention", [PackedAttention, FlexPackedAttention])
LONG = [[text(150), image(WIDE)], [image(SMALL), text(290)], [text(70)]]
"""Several blocks of FlexAttention, some of them whole, some forbidden, some with a border of documents."""


def may_see(batch: PackedBatch) -> Tensor:
    """[query, key], a pair at a time from what the layout says of positions."""
    document, step = batch.document_T.tolist(), batch.step_T.tolist()
    rows = [
        [d >= 0 and d == other and s >= earlier for other, earlier in zip(document, step, strict=True)]
        for d, s in zip(document, step, strict=True)
    ]
    return torch.tensor(rows)


def reference(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Every head by itself, with the keys of its group; a query that sees nothing gets zeros."""
    heads = []
    for head in range(HEADS):
        group = head * GROUPS // HEADS
        scores = queries[:, head] @ keys[:, group].T / WIDTH**0.5
        chances = scores.masked_fill(~mask, -torch.inf).softmax(-1).nan_to_num()
        heads.append(chances @ values[:, group])
    return torch.stack(heads, dim=1)


def random_inputs(count: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return (
        torch.randn(count, HEADS, WIDTH),
        torch.randn(count, GROUPS, WIDTH),
        torch.randn(count, GROUPS, WIDTH),
    )


def assert_follows_the_rule(attention: type, batch: PackedBatch) -> None:
    inputs = random_inputs(len(batch.tokens_T))
    expected = reference(*inputs, may_see(batch))
    assert torch.allclose(attention(batch)(0, *inputs), expected, atol=1e-5)


@BOTH
@settings(max_examples=8, deadline=None)
@given(found=documents())
@torch.no_grad()
def test_attention_follows_the_rule(attention: type, found: list[list[Part]]) -> None:
    batch = pack(found, CONFIG)
    assert_follows_the_rule(attention, pack(found, CONFIG, length=len(batch.tokens_T) + 3))


@BOTH
@torch.no_grad()
def test_long_documents_and_padding_follow_the_rule(attention: type) -> None:
    assert_follows_the_rule(attention, pack(LONG, CONFIG, length=600))


@torch.no_grad()
def test_another_rule_is_noticed() -> None:
    """A negative control: plain causal attention is not what blocks get."""
    batch = pack([[text(3), image(WIDE)]], CONFIG)
    inputs = random_inputs(len(batch.tokens_T))
    causal = torch.ones(len(batch.tokens_T), len(batch.tokens_T)).tril().bool()
    assert not torch.allclose(PackedAttention(batch)(0, *inputs), reference(*inputs, causal), atol=1e-2)


def test_gradients_follow_the_rule() -> None:
    batch = pack([[text(3), image(WIDE)], [image(SMALL), text(2)]], CONFIG, length=60)
    inputs = [x.requires_grad_() for x in random_inputs(60)]
    seed = torch.randn(60, HEADS, WIDTH)
    queries, keys, values = inputs
    found = torch.autograd.grad(PackedAttention(batch)(0, queries, keys, values), inputs, seed)
    used = batch.spans[-1][1]
    short = [x[:used] for x in inputs]
    expected = reference(short[0], short[1], short[2], may_see(batch)[:used, :used])
    for f, e in zip(found, torch.autograd.grad(expected, inputs, seed[:used]), strict=True):
        assert torch.allclose(f, e, atol=1e-5)


def test_blocks_without_an_allowed_pair_are_skipped() -> None:
    batch = pack(LONG, CONFIG, length=1024)
    blocks = block_mask(batch.document_T, batch.step_T).to_dense()[0, 0].bool()
    expected = may_see(batch).reshape(8, 128, 8, 128).any(3).any(1)
    assert torch.equal(blocks, expected)
    assert expected.sum() < 0.3 * expected.numel()


@BOTH
@torch.no_grad()
def test_logits_of_a_document_in_a_pack_are_as_if_alone(attention: type) -> None:
    def logits(found: list[list[Part]], length: int | None = None) -> Tensor:
        batch = pack(found, CONFIG, length)
        rotation = rotations(batch.positions_T3, CONFIG)
        return model.logits(model.model(model.embed(batch), rotation, attention(batch)))

    found = [[text(4), image(WIDE)], [image(SMALL), text(5)], [text(2), image(SMALL), image(WIDE), text(1)]]
    together, at = logits(found, length=150), 0
    for document in found:
        alone = logits([document])
        assert torch.allclose(together[at : at + len(alone)], alone, atol=1e-5)
        at += len(alone)
