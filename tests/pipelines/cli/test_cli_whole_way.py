"""The whole way with the real command: pictures in, pictures out; and again, which makes nothing anew."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from PIL import Image

from pipelines.cli.main import main

# Starts Ray and two trainings; on a busy machine that takes longer than other tests may.
pytestmark = pytest.mark.timeout(600)

Here = Callable[..., tuple[int, str, str]]

RECIPE = str(Path(__file__).with_name("tiny.yaml"))
COMMAND = str(Path(sys.executable).with_name("nextscale"))
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
STAGES = (
    "t2i/scored",
    "t2i/filtered",
    "tokenizer/semantic",
    "t2i/topics",
    "t2i/balanced",
    "t2i/captioned",
    "tokenizer/pixel",
    "tokenizer/joint",
    "tokenizer/decoder",
    "evaluation/tokenizer",
    "tokens/t2i",
    "packs/alignment",
    "training/alignment",
    "packs/pretrain_256",
    "training/pretrain_256",
    "evaluation/pretrain_256/fixed_prompts",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the tiny recipe was run."""
    return tmp_path_factory.mktemp("whole-way") / "home"


@pytest.fixture(scope="module")
def first(home: Path) -> CompletedProcess[str]:
    """The run that made it."""
    return run_in(home, "run", "--recipe", RECIPE, "--json")


def run_in(home: Path, *arguments: str, code: int = 0) -> CompletedProcess[str]:
    environment = os.environ | {"NEXTSCALE_HOME": str(home), "OMP_NUM_THREADS": "1"}
    environment.pop("DAGSTER_HOME", None)
    done = subprocess.run(
        [COMMAND, *arguments], cwd=home.parent, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == code, done.stderr
    assert not CONTROL.search(done.stdout + done.stderr)
    return done


@pytest.fixture
def here(
    first: CompletedProcess[str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Here:
    """`here(*arguments)` -> code and output of the command in this process, in the home that was made."""
    assert first.returncode == 0
    monkeypatch.setenv("NEXTSCALE_HOME", str(home))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(home.parent)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nextscale", *arguments])
        code = main()
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def balanced(counts: dict[str, Any]) -> bool:
    return bool(counts["total"] == counts["kept"] + sum(counts["rejected"].values()) + counts["errored"])


def test_every_stage_is_made_and_accounted_for(first: CompletedProcess[str]) -> None:
    body = json.loads(first.stdout)
    assert tuple(row["asset"] for row in body["assets"]) == STAGES
    assert not any(row["reused"] for row in body["assets"])
    assert all(balanced(row["counts"]) for row in body["assets"])
    assert body["assets"][0]["counts"]["total"] == 60
    assert (body["conserved"], body["broken"]) == (True, [])
    figures = body["figures"]["evaluation/pretrain_256/fixed_prompts"]
    assert 0 <= figures["accuracy"]["single_object"] <= 1
    assert all(Path(uri).is_file() for uris in body["pictures"].values() for uri in uris)
    assert "tokenizer/joint: started" in first.stderr


def test_a_second_run_makes_nothing_anew(first: CompletedProcess[str], home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.rglob("data/*")}
    assert first.returncode == 0
    assert "nothing to do: all of it is there already" in run_in(home, "run").stdout
    assert {path: path.stat().st_mtime_ns for path in home.rglob("data/*")} == before


def test_status_reads_the_same_counts(first: CompletedProcess[str], home: Path) -> None:
    body = json.loads(run_in(home, "status", "--json").stdout)
    made = {row["asset"]: row["counts"] for row in json.loads(first.stdout)["assets"]}
    assert {row["asset"]: row["counts"] for row in body["assets"]} == made
    assert {row["state"] for row in body["assets"]} == {"fresh"}
    for row in body["assets"]:
        sizes = [path.stat().st_size for path in Path(row["folder"]).rglob("*") if path.is_file()]
        assert 0 < row["bytes"] <= sum(sizes)
    table = run_in(home, "status").stdout
    assert all(stage in table for stage in STAGES)


def test_pictures_come_out(first: CompletedProcess[str], home: Path) -> None:
    assert first.returncode == 0
    sheet = str(home.parent / "sheet.png")
    said = run_in(home, "generate", "a red circle", "two blue stars", "--n", "2", "-o", sheet)
    assert said.stdout == f"{sheet}\n"
    assert "scales" in said.stderr or "started" in said.stderr
    assert min(Image.open(sheet).size) > 64


def test_one_picture_has_the_size_of_its_level(home: Path, here: Here) -> None:
    one = str(home.parent / "one.png")
    assert here("generate", "a red circle", "--n", "1", "--seed", "1", "-o", one)[:2] == (0, f"{one}\n")
    assert Image.open(one).size == (32, 32)


def test_pictures_are_read_and_text_is_written(home: Path, here: Here) -> None:
    red, edit, story = (str(home.parent / name) for name in ("red.png", "edit.png", "story.md"))
    Image.new("RGB", (48, 40), "red").save(red)
    assert here("generate", "make it blue", "--image", red, "--n", "1", "-o", edit)[0] == 0
    assert json.loads(Image.open(edit).info["nextscale"])["images"]
    code, said, _ = here("generate", "a story", "--interleaved", "--max-images", "1", "-o", story)
    assert (code, said) == (0, f"{story}\n")
    assert Path(story).read_text(encoding="utf-8").startswith("## a story")
    code, said, _ = here("generate", "--text", "--image", red, "--max-text", "9")
    assert (code, said[-1]) == (0, "\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--level", "9"], "--level: no level '9'. Levels: tiny"),
        (["a", "--aspect", "wide"], "--aspect: no aspect ratio 'wide'. Write width:height, such as 16:9"),
        (["a", "--image", "no.png"], "no.png: cannot read the picture (No such file or directory). Check it"),
        (["a", "--image", __file__], "test_cli_whole_way.py: not a picture that can be used: "),
        (["a <image>"], "generate: 1 marks <image> in the prompt and 0 pictures. Give each mark its --image"),
    ],
)
def test_what_cannot_be_generated_is_one_line(
    home: Path, here: Here, arguments: list[str], message: str
) -> None:
    code, _, said = here("generate", *arguments, "-o", str(home.parent / "out.png"))
    assert code == 1
    assert message in said.splitlines()[-1]


def test_a_changed_setting_makes_only_what_depends_on_it(first: CompletedProcess[str], home: Path) -> None:
    assert first.returncode == 0
    change = ["--set", "stages.pretrain_256.packing.max_tokens=192"]
    rows = json.loads(run_in(home, "run", *change, "--select", "packs/*", "--json").stdout)["assets"]
    assert [row["asset"] for row in rows if not row["reused"]] == ["packs/pretrain_256"]
    later = ("training/", "evaluation/", "tokenizer/decoder")
    assert {row["asset"] for row in rows} == {name for name in STAGES if not name.startswith(later)}
    body = json.loads(run_in(home, "status", "--json").stdout)
    states = {row["asset"]: row["state"] for row in body["assets"]}
    assert states["training/pretrain_256"] == "stale"
    assert states["training/alignment"] == "fresh"


@pytest.mark.chaos
def test_ctrl_c_is_one_line_and_the_run_can_go_on(tmp_path: Path) -> None:
    home = tmp_path / "home"
    curate = ["run", "--recipe", RECIPE, "--select", "t2i/scored", "--home", str(home)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([COMMAND, *curate], env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "t2i/scored" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().splitlines()
        assert process.wait(120) == 130
    assert said[-1].startswith("interrupted: ")
    assert not any("Traceback" in row for row in said)
    assert json.loads(run_in(home, *curate, "--json").stdout)["conserved"]
