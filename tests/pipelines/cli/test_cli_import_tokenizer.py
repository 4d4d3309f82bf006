"""`nextscale import-tokenizer`: a checkpoint in, a tokenizer and an account of every tensor out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from tokenflow_weights import SMALL_SIGLIP, random_weights, shapes

from infra.errors import UserError
from model.scales import square
from model.tokenizer import ImageTokenizer
from pipelines.cli.import_tokenizer import import_tokenizer

Run = Callable[..., "CompletedProcess[str]"]

TINY = replace(SMALL_SIGLIP, width=48, hidden=16, codes=16, side=2, teacher=8)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of TokenFlow's training, with the names that transformers 4 gave SigLIP."""
    path = tmp_path / "tokenflow.pt"
    torch.save({"model": random_weights(TINY), "steps": 7}, path)
    return path


def test_a_checkpoint_becomes_a_tokenizer(nextscale: Run, checkpoint: Path, tmp_path: Path) -> None:
    done = nextscale("import-tokenizer", checkpoint.name, "-o", "new/tokenizer")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "new/tokenizer"
    folder = tmp_path / "new/tokenizer"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["tokenizer"]
    tokenizer = ImageTokenizer.from_pretrained(folder)
    schedule = square([1, 2], cell=14, margin=6)
    assert tokenizer.encode(torch.zeros(1, 3, 34, 34), schedule).shape == (1, 5)


def test_every_tensor_is_reported(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_tokenizer(checkpoint, tmp_path / "tokenizer", tmp_path / "tensors.json")
    report = json.loads((tmp_path / "tensors.json").read_text())
    wanted = [{"name": name, "shape": list(shape)} for name, shape in shapes(TINY).items()]
    assert [{"name": t["name"], "shape": t["shape"]} for t in report["tensors"]] == wanted
    assert all(bool(tensor["loaded_as"]) != bool(tensor["unused"]) for tensor in report["tensors"])
    assert (report["file"], report["config"]["vision"]) == ("tokenflow.pt", "siglip")

    table = capsys.readouterr().out
    rows = [line.replace(",", "").split() for line in table.splitlines()[1:-1]]
    assert sum(int(tensors) for _, tensors, *_ in rows) == len(wanted)
    assert sum(int(values) for _, _, values, *_ in rows) == sum(map(math.prod, shapes(TINY).values()))
    assert "not used: the last layer" in table
    assert "pixel_decoder" in table


def test_the_same_file_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (tmp_path / ".second.unfinished").mkdir()
    (tmp_path / ".second.unfinished" / "model.safetensors").write_bytes(b"what a killed run left")
    for out in (first, second):
        import_tokenizer(checkpoint, out)
    for name in ("config.json", "model.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert not (tmp_path / ".second.unfinished").exists()


@pytest.mark.parametrize(
    ("file", "out", "report", "message"),
    [
        ("broken.pt", "new", None, "broken.pt: no TokenFlow tokenizer: encoder.mid.0.conv1.bias"),
        ("nope.pt", "new", None, "nope.pt: cannot be read (No such file or directory). Check the path"),
        ("words.pt", "new", None, "words.pt: no checkpoint that torch 1.6 or later wrote. Give TokenFlow"),
        ("broken.pt", "taken", None, "taken: is there already. Choose another --out"),
        ("broken.pt", "new", "no/x.json", "no: no such folder. Make it, or choose another --report"),
    ],
)
def test_failures_leave_nothing(
    tmp_path: Path, file: str, out: str, report: str | None, message: str
) -> None:
    weights = random_weights(TINY)
    del weights["encoder.mid.0.conv1.bias"]
    torch.save(weights, tmp_path / "broken.pt")
    (tmp_path / "words.pt").write_text("no checkpoint")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError) as error:
        import_tokenizer(tmp_path / file, tmp_path / out, tmp_path / report if report else None)
    assert str(error.value).startswith(f"{tmp_path}/{message}")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))
