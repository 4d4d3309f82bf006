"""Starting from Qwen2.5 and Qwen2.5-VL: text keeps its logits, images start at the text's sizes.

The models here are transformers' own, small and random, as transformers saves them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from documents import CODES, SMALL, TEXTS, image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from model.transformer.config import TransformerConfig
from model.transformer.layout import TextPart, pack
from model.transformer.model import NextScaleTransformer
from model.transformer.qwen import load_qwen, qwen_config

SIZES = {
    "vocab_size": TEXTS,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
ROPE = {"rope_type": "default", "rope_theta": 50_000.0}
CODEBOOK = torch.nn.functional.normalize(torch.randn(CODES, 6, generator=torch.Generator().manual_seed(0)))


def qwen(tie: bool = False, **changes: Any) -> Any:
    config = {**SIZES, "rope_parameters": ROPE, "tie_word_embeddings": tie, **changes}
    return randomised(Qwen2ForCausalLM(Qwen2Config(**config)))


def qwen_vl(tie: bool = False) -> Any:
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 48}
    text = {**SIZES, "rope_parameters": {**ROPE, "mrope_section": [1, 1, 2]}}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config={**vision, "fullatt_block_indexes": [0]},
        tie_word_embeddings=tie,
        image_token_id=TEXTS - 1,
        video_token_id=TEXTS - 2,
        vision_start_token_id=TEXTS - 3,
    )
    return randomised(Qwen2_5_VLForConditionalGeneration(config))


def randomised(model: Any) -> Any:
    """Weights large enough that mistakes show; embeddings as small as Qwen's."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "visual" not in name:
                parameter.normal_(std=0.05 if "embed_tokens" in name else 0.3)
    return model.eval()


def config_of(folder: Path | str) -> TransformerConfig:
    return qwen_config(folder, text_vocabulary=TEXTS, codebook_size=CODES, codebook_width=6, end_id=0)


def load(folder: Path | str) -> NextScaleTransformer:
    torch.manual_seed(0)
    return load_qwen(folder, config_of(folder), CODEBOOK).eval()


@torch.no_grad()
def differences(ours: NextScaleTransformer, theirs: Any) -> list[float]:
    """Largest difference of logits, for a few texts in one pack against each of them alone."""
    texts = [np.random.default_rng(n).integers(0, TEXTS - 3, 5 + 12 * n) for n in range(3)]
    logits = ours.logits(ours.hidden(pack([[TextPart(ids)] for ids in texts], ours.config)))[:, :TEXTS]
    found = logits.split([len(ids) for ids in texts])
    expected = [theirs(torch.as_tensor(ids)[None]).logits[0] for ids in texts]
    return [float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)]


def edit_weights(folder: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def renamed(weights: Mapping[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {name.replace(old, new, 1) if name.startswith(old) else name: w for name, w in weights.items()}


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("make", [qwen, qwen_vl])
def test_text_logits_equal_those_of_transformers(
    tmp_path: Path, make: Callable[[bool], Any], tie: bool
) -> None:
    theirs = make(tie)
    theirs.save_pretrained(tmp_path)
    ours = load(tmp_path)
    assert ours.config.tie_embeddings is tie
    assert (ours.lm_head.weight is ours.model.embed_tokens.weight) is tie
    assert max(differences(ours, theirs)) < 1e-5


@torch.no_grad()
def test_the_comparison_notices_another_theta_and_one_weight(tmp_path: Path) -> None:
    theirs = qwen()
    theirs.save_pretrained(tmp_path)
    turned = load_qwen(tmp_path, replace(config_of(tmp_path), rope_theta=10_000.0), CODEBOOK).eval()
    assert max(differences(turned, theirs)) > 1e-3
    ours = load(tmp_path)
    ours.model.layers[1].mlp.up_proj.weight[3, 5] += 0.5
    assert max(differences(ours, theirs)) > 1e-3


def test_shards_and_half_precision(tmp_path: Path) -> None:
    qwen().bfloat16().save_pretrained(tmp_path, max_shard_size="20KB")
    theirs = Qwen2ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    ours = load(tmp_path)
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    assert max(differences(ours, theirs)) < 1e-5


@pytest.mark.parametrize("text", ["model.", "model.language_model.", "language_model.model."])
def test_every_naming_of_the_vl_checkpoint(tmp_path: Path, text: str) -> None:
    """A flat configuration and theta beside it, as the published files have."""
    theirs = qwen_vl()
    theirs.save_pretrained(tmp_path)
    weights = renamed(load_file(tmp_path / "model.safetensors"), "model.", text)
    if text != "model.":
        weights = renamed(weights, "visual.", "model.visual." if text[0] == "m" else "visual.")
        weights = renamed(weights, "lm_head.", "lm_head." if text[0] == "m" else "language_model.lm_head.")
    save_file(weights, tmp_path / "model.safetensors")
    rope = {"type": "mrope", "mrope_section": [1, 1, 2]}
    flat = {"model_type": "qwen2_5_vl", **SIZES, "rope_theta": 50_000.0, "rope_scaling": rope}
    (tmp_path / "config.json").write_text(json.dumps(flat))
    assert max(differences(load(tmp_path), theirs)) < 1e-5


def test_theta_beside_the_other_sizes(tmp_path: Path) -> None:
    qwen().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["rope_parameters"]
    (tmp_path / "config.json").write_text(json.dumps({**config, "rope_theta": 123.0}))
    assert config_of(tmp_path).rope_theta == 123.0


def test_a_padded_vocabulary_keeps_its_rows(tmp_path: Path) -> None:
    qwen(vocab_size=TEXTS + 24).save_pretrained(tmp_path)
    assert config_of(tmp_path).text_vocabulary == load(tmp_path).lm_head.out_features == TEXTS + 24
    with pytest.raises(ValueError, match="has 64 text rows, fewer than the tokenizer's 65 ids"):
        qwen_config(tmp_path, text_vocabulary=65, codebook_size=CODES, codebook_width=6, end_id=0)


@pytest.mark.parametrize("tie", [False, True])
@torch.no_grad()
def test_images_start_at_the_sizes_of_text(tmp_path: Path, tie: bool) -> None:
    qwen(tie).save_pretrained(tmp_path)
    ours = load(tmp_path)
    text_rows, code_rows = ours.lm_head.weight, ours.visual_head.weight[:CODES]
    assert float(code_rows.norm(dim=1).mean()) == pytest.approx(float(text_rows.norm(dim=1).mean()), rel=0.15)
    mean = text_rows.mean(0)
    spread = (text_rows - mean).norm(dim=1).square().mean().sqrt()
    assert torch.allclose((code_rows - mean).norm(dim=1), spread, rtol=1e-4)

    size = ours.model.embed_tokens.weight.square().mean().sqrt()
    inputs = ours.visual(pack([[image(SMALL)]], ours.config).images)
    assert (inputs.square().mean(1).sqrt() / size).tolist() == pytest.approx([1.0] * len(inputs), rel=0.8)
    assert torch.equal(ours.visual.codebook.weight, CODEBOOK)
    assert not ours.visual.scale_count.weight.any()


@torch.no_grad()
def test_sizes_follow_the_checkpoint(tmp_path: Path) -> None:
    """Tenfold text rows, tenfold new rows: no constant is left over."""
    for name, factor in (("once", 1.0), ("tenfold", 10.0)):
        model = qwen()
        model.lm_head.weight.mul_(factor)
        model.model.embed_tokens.weight.mul_(factor)
        model.save_pretrained(tmp_path / name)
    once, tenfold = (load(tmp_path / name) for name in ("once", "tenfold"))
    assert torch.allclose(tenfold.visual_head.weight, 10 * once.visual_head.weight, rtol=1e-3, atol=1e-5)
    a, b = (model.visual(pack([[image(SMALL)]], model.config).images) for model in (once, tenfold))
    assert torch.allclose(b, 10 * a, rtol=1e-3, atol=1e-5)


def test_the_start_depends_on_the_seed_alone_and_is_finite(tmp_path: Path) -> None:
    qwen().save_pretrained(tmp_path)
    a, b = load(tmp_path).state_dict(), load(tmp_path).state_dict()
    assert all(torch.equal(a[name], b[name]) and a[name].isfinite().all() for name in a)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda w: w.pop("model.norm.weight"),
            r"1 tensors .* model\.norm\.weight: absent in the file, \[48\]",
        ),
        (lambda w: w.pop("lm_head.weight"), r"1 tensors .* lm_head\.weight: absent in the file"),
        (lambda w: w.update(extra=torch.ones(2)), r"1 tensors .* extra: \[2\] in the file, absent"),
        (
            lambda w: w.update({"model.norm.weight": torch.ones(47)}),
            r"1 tensors .* model\.norm\.weight: \[47\] in the file, \[48\] in the model",
        ),
        (
            lambda w: w.update({"model.language_model.norm.weight": torch.ones(48)}),
            r"model\.norm\.weight is there twice",
        ),
        (
            lambda w: [w.pop(n) for n in list(w) if "layers.1" in n],
            r"12 tensors do not fit the model, such as model\.layers\.1\.input_layernorm",
        ),
    ],
    ids=["missing", "no head", "unexpected", "shape", "twice", "partial"],
)
def test_weights_that_do_not_fit_are_named(
    tmp_path: Path, edit: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    qwen().save_pretrained(tmp_path)
    edit_weights(tmp_path, edit)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_a_tied_checkpoint_may_store_both_rows_if_they_are_equal(tmp_path: Path) -> None:
    theirs = qwen(tie=True)
    theirs.save_pretrained(tmp_path)
    rows = theirs.lm_head.weight.detach()
    edit_weights(tmp_path, lambda w: w.update({"lm_head.weight": rows.clone()}))
    assert max(differences(load(tmp_path), theirs)) < 1e-5
    edit_weights(tmp_path, lambda w: w.update({"lm_head.weight": rows + 1}))
    with pytest.raises(ValueError, match="ties its embeddings, but its lm_head"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', but only 'silu'"),
        (
            {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1, "layer_types": None},
            r"layer_types is \['full_attention', 'sliding_attention'\]",
        ),
        ({"rope_parameters": {**ROPE, "rope_type": "linear", "factor": 2.0}}, "rope_type is 'linear'"),
        ({"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}}, "partial_rotary_factor is 0.5"),
        ({"head_dim": 16}, "head_dim is 16, but only 8"),
    ],
)
def test_what_the_decoder_does_not_compute_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    qwen().save_pretrained(tmp_path)
    edit_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        config_of(tmp_path)
    assert "\n" not in str(caught.value)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    LlamaForCausalLM(LlamaConfig(**SIZES)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a llama, not one of qwen2, qwen2_5_vl"):
        config_of(tmp_path)


def test_code_that_comes_with_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"no Qwen2\.5 at"):
        config_of(tmp_path)
    assert not ran.exists()


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    model = qwen()
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no weights as safetensors"):
        load(tmp_path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    qwen().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not readable as safetensors"):
        load(tmp_path)
    edit_config(tmp_path, hidden_size="wide")
    with pytest.raises(ValueError, match=r"no Qwen2\.5 at"):
        config_of(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"no Qwen2\.5 at"):
        config_of(tmp_path)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        config_of(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"no Qwen2\.5 at"):
        config_of(tmp_path)
