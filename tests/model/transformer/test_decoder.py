"""Text alone: the decoder is transformers' Qwen2, weight for weight. And layers that are repeated."""

from __future__ import annotations

import pytest
import torch
from documents import CONFIG, SMALL, TEXTS, WIDE, image, make_model, text
from transformers import Qwen2Config, Qwen2ForCausalLM

from model.transformer.layout import pack


def qwen(tie: bool) -> Qwen2ForCausalLM:
    torch.manual_seed(1)
    config = Qwen2Config(
        vocab_size=TEXTS,
        hidden_size=CONFIG.hidden,
        intermediate_size=CONFIG.intermediate,
        num_hidden_layers=CONFIG.layers,
        num_attention_heads=CONFIG.heads,
        num_key_value_heads=CONFIG.kv_heads,
        rms_norm_eps=CONFIG.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": CONFIG.rope_theta},
        tie_word_embeddings=tie,
    )
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@pytest.mark.parametrize("tie", [False, True])
@torch.no_grad()
def test_text_logits_equal_those_of_transformers(tie: bool) -> None:
    theirs, ours = qwen(tie), make_model(tie_embeddings=tie)
    missing = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all(name.startswith("visual") for name in missing.missing_keys)

    part = text(30)
    logits = ours.logits(ours.hidden(pack([[part]], ours.config)))
    expected = theirs(torch.as_tensor(part.ids)[None]).logits[0]
    assert torch.allclose(logits[:, :TEXTS], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_comparison_notices_another_theta() -> None:
    theirs, ours = qwen(tie=False), make_model(rope_theta=1e4)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    part = text(30)
    logits = ours.logits(ours.hidden(pack([[part]], ours.config)))
    expected = theirs(torch.as_tensor(part.ids)[None]).logits[0]
    assert not torch.allclose(logits[:, :TEXTS], expected, atol=1e-3)


def test_checkpointing_repeats_layers_and_changes_no_gradient() -> None:
    batch = pack([[text(5), image(SMALL)], [text(3), image(WIDE)]], CONFIG)
    calls, gradients = [], []
    for enabled in (False, True):
        student = make_model()
        student.model.set_checkpointing(enabled)
        count: list[int] = []
        student.model.layers[0].register_forward_pre_hook(lambda *_, count=count: count.append(1))
        student(batch).loss_sum.backward()
        calls.append(len(count))
        gradients.append({name: p.grad for name, p in student.named_parameters()})
    assert calls == [1, 2]
    plain, repeated = gradients
    assert all(torch.equal(g, repeated[name]) for name, g in plain.items())


@torch.no_grad()
def test_checkpointing_does_nothing_where_nothing_is_learned() -> None:
    batch = pack([[text(5), image(SMALL)]], CONFIG)
    student = make_model()
    plain = student(batch).loss_sum
    student.model.set_checkpointing(True)
    assert torch.equal(student(batch).loss_sum, plain)
