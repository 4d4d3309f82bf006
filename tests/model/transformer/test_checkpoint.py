from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from documents import make_model
from safetensors.torch import load_file

from model.transformer.checkpoint import INDEX_FILE
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


@pytest.mark.parametrize("tie", [False, True])
def test_weights_beyond_a_files_size_are_several_files(tmp_path: Path, tie: bool) -> None:
    model = make_model(tie_embeddings=tie)
    model.save_pretrained(tmp_path, max_file_bytes=20_000)
    files = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert files == [f"model-{i:05d}-of-{len(files):05d}.safetensors" for i in range(1, len(files) + 1)]
    contents = {name: load_file(tmp_path / name) for name in files}
    assert max(sum(w.nbytes for w in c.values()) for c in contents.values()) <= 20_000
    index = json.loads((tmp_path / INDEX_FILE).read_text())
    assert index["weight_map"] == {name: file for file, found in contents.items() for name in found}
    assert index["metadata"]["total_size"] == sum(p.nbytes for p in model.parameters())
    loaded = NextScaleTransformer.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(weight, loaded[name]) for name, weight in model.state_dict().items())


def test_a_tensor_larger_than_a_file_has_its_own(tmp_path: Path) -> None:
    model = make_model()
    model.save_pretrained(tmp_path, max_file_bytes=1)
    assert len(list(tmp_path.glob("*.safetensors"))) == len(list(model.parameters()))
    NextScaleTransformer.from_pretrained(tmp_path)


def test_nothing_of_an_earlier_model_stays(tmp_path: Path) -> None:
    for seed, size in enumerate((20_000, 10**9, 50_000, 20_000)):
        model = make_model(seed)
        model.save_pretrained(tmp_path, max_file_bytes=size)
        loaded = NextScaleTransformer.from_pretrained(tmp_path).state_dict()
        assert all(torch.equal(weight, loaded[name]) for name, weight in model.state_dict().items())
    index = json.loads((tmp_path / INDEX_FILE).read_text())
    assert {p.name for p in tmp_path.glob("*.safetensors")} == set(index["weight_map"].values())


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/x.safetensors", "a/b.safetensors", "..", "", "x.bin", 3]
)
def test_an_index_that_leads_elsewhere_is_refused(tmp_path: Path, name: object) -> None:
    folder = tmp_path / "model"
    make_model().save_pretrained(folder)
    (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    with pytest.raises(ValueError, match=r"index\.json: .* is not (the name of a file|a safetensors file)"):
        NextScaleTransformer.from_pretrained(folder)


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": []}}'])
def test_a_damaged_index_is_refused(tmp_path: Path, index: str) -> None:
    make_model().config.save(tmp_path)
    (tmp_path / INDEX_FILE).write_text(index)
    with pytest.raises(ValueError, match="not an index of weights"):
        NextScaleTransformer.from_pretrained(tmp_path)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path, max_file_bytes=50_000)
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(ValueError, match=r"no weights as safetensors: .*model-00002"):
        NextScaleTransformer.from_pretrained(tmp_path)
    (tmp_path / INDEX_FILE).unlink()
    with pytest.raises(ValueError, match="no weights as safetensors"):
        NextScaleTransformer.from_pretrained(tmp_path)


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
