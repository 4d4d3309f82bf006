from __future__ import annotations

from pathlib import Path

import pytest
import torch
from documents import make_model
from safetensors.torch import load_file

from model.transformer.config import TransformerConfig
from model.transformer.files import write_atomically
from model.transformer.model import NextScaleTransformer


@pytest.mark.parametrize("tie", [False, True])
def test_saved_and_loaded(tmp_path: Path, tie: bool) -> None:
    model = make_model(tie_embeddings=tie)
    model.save_pretrained(tmp_path)
    loaded = NextScaleTransformer.from_pretrained(tmp_path)
    assert loaded.config == model.config
    expected = model.state_dict()
    assert expected.keys() == loaded.state_dict().keys()
    assert all(torch.equal(expected[name], weight) for name, weight in loaded.state_dict().items())
    assert ("lm_head.weight" in load_file(tmp_path / "model.safetensors")) is not tie
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_model().save_pretrained(tmp_path / name)
    for file in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    make_model(intermediate=32).save_pretrained(tmp_path)
    config = make_model().config
    config.save(tmp_path)
    assert TransformerConfig.load(tmp_path) == config
    with pytest.raises(ValueError, match=r"6 tensors do not fit the model, such as model\.layers\.0\.mlp"):
        NextScaleTransformer.from_pretrained(tmp_path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("before")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, fail)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
