from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from documents import CONFIG

from model.transformer.config import TransformerConfig


def test_saved_and_loaded(tmp_path: Path) -> None:
    config = replace(CONFIG, rope_axes="contiguous", tie_embeddings=True)
    config.save(tmp_path)
    assert TransformerConfig.load(tmp_path) == config
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("change", "message"), [({"hiden": 3}, "hiden"), ({"rope_axes": "spiral"}, "spiral")]
)
def test_what_is_not_understood_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    CONFIG.save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        TransformerConfig.load(tmp_path)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden": 48}')
    with pytest.raises(ValueError, match=r"config\.json.*layers"):
        TransformerConfig.load(tmp_path)


def test_unified_vocabulary() -> None:
    assert (CONFIG.boi, CONFIG.eoi, CONFIG.vocabulary) == (64, 65, 66)


@pytest.mark.parametrize(
    "change", [{"heads": 5}, {"kv_heads": 4}, {"heads": 48, "kv_heads": 48}, {"end_id": 40}]
)
def test_shapes_that_do_not_divide(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"heads|end_id"):
        replace(CONFIG, **change)


def test_presets() -> None:
    vocabulary = {"text_vocabulary": 151936, "codebook_size": 32768, "codebook_width": 40, "end_id": 151643}
    qwen = TransformerConfig.preset("7b", **vocabulary)
    assert (qwen.hidden, qwen.layers, qwen.heads, qwen.kv_heads) == (3584, 28, 28, 4)
    assert (qwen.intermediate, qwen.head_width, qwen.rope_theta) == (18944, 128, 1e6)
    with pytest.raises(ValueError, match="tiny, small, 2b, 7b"):
        TransformerConfig.preset("huge", **vocabulary)
