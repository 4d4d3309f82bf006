"""`nextscale trace` shows a tree to people, JSON to programs, and one line for what is not there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import traced_home

from pipelines.cli.main import main

pytestmark = pytest.mark.timeout(600)

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traced_home.build(tmp_path_factory)


@pytest.fixture
def say(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """`say(arguments)` -> exit code, stdout and stderr of the command in this process."""
    monkeypatch.setenv("NEXTSCALE_HOME", str(home))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nextscale", *arguments])
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_record_is_a_tree_of_all_that_became_of_it(home: Path, say: Say) -> None:
    with traced_home.opened(home) as (project, _):
        path = traced_home.picture(project, 3)
    code, out, err = say("trace", str(path))
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "#".join(str(path).rsplit("/", 1))
    for words in ("t2i/captioned [t2i-0000]  kept", "subject/confirmed", "edit/synthetic", "document "):
        assert words in out
    assert "├── tokens/t2i [t2i-0000|small]" in out
    _, body, _ = say("trace", str(path), "--json")
    folders = [c["folder"] for d in json.loads(body)["documents"] for c in d["checkpoints"]]
    assert folders
    assert all(f"  {folder}\n" in out for folder in folders)  # no line is cut, however long


def test_json_says_the_same(home: Path, say: Say) -> None:
    code, out, _ = say("trace", traced_home.BAD, "--json")
    body = json.loads(out)
    assert code == 0
    assert (body["home"], body["kind"], body["documents"]) == (str(home), "record", [])
    assert {fate["reason"] for fate in body["fates"]} == {"not_an_image"}
    _, out, _ = say("trace", "packs/second#0", "--json")
    pack = json.loads(out)
    one = pack["documents"][0]["sample_id"]
    _, out, _ = say("trace", one, "--json")
    document = next(d for d in json.loads(out)["documents"] if d["sample_id"] == one)
    held = [packed for packed in document["packs"] if packed["asset"] == "packs/second"]
    assert 0 in [pack["number"] for packed in held for pack in packed["packs"]]
    assert document["forgotten"] is False


def test_packs_and_checkpoints_are_trees_too(say: Say) -> None:
    _, out, _ = say("trace", "packs/second#0")
    assert out.startswith("packs/second#0  ")
    assert "training/second" in out
    _, out, _ = say("trace", "training/second")
    assert "starts from training/first" in out
    assert "% of the tokens" in out


@pytest.mark.parametrize("text", ["0123456789abcdef", "beach.jpg", "packs/first#99999"])
def test_what_is_not_there_is_one_line(say: Say, text: str) -> None:
    code, out, err = say("trace", text)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
