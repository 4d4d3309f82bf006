"""`nextscale evaluate-tokenizer`: a saved tokenizer on a folder of pictures."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image

from infra.errors import UserError
from jobs.scenes.sample import make_sample
from jobs.tokenizer.folder import schedules_of_size
from model.scales import square, table14, tokenflow
from model.tokenizer import ImageTokenizer, TokenizerConfig
from pipelines.cli.main import main

Run = Callable[..., "CompletedProcess[str]"]
Say = Callable[..., tuple[int, str, str]]

COMMAND = "evaluate-tokenizer"


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """The command in this process: `say(ARGUMENTS)` -> its exit code and what it said on both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEXTSCALE_HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nextscale", COMMAND, *arguments])
        return (main(), *capsys.readouterr())

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six scenes, two of them wide and in a folder of their own, and files that are no pictures."""
    folder = tmp_path / "pictures"
    (folder / "wide").mkdir(parents=True)
    for number in range(6):
        picture = Image.open(io.BytesIO(make_sample(0, number, 64).png))
        if number < 4:
            picture.save(folder / f"{number}.png")
        else:
            picture.resize((96, 64)).save(folder / "wide" / f"{number}.JPG", "JPEG")
    (folder / "broken.png").write_bytes(b"\x89PNG and no more")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    ImageTokenizer(TokenizerConfig.preset("tiny")).save_pretrained(folder)
    return folder


def test_it_measures_at_each_size_and_writes_the_picture(
    nextscale: Run, pictures: Path, tokenizer: Path, tmp_path: Path
) -> None:
    sizes = ("--size", "32", "--size", "64")
    arguments = (COMMAND, str(pictures), "--tokenizer", str(tokenizer), *sizes)
    done = nextscale(*arguments, "-o", "sheet.png", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["sizes"]
    assert list(found) == ["32", "64"]
    for figures in found.values():
        assert (figures["pictures"], figures["unreadable"]) == (6, {"corrupt": 1})
        assert 0 < figures["psnr"] < 100
        assert figures["lpips"] is figures["rfid"] is None
        assert 0 < figures["codebook_use"] <= 1
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.height > 3 * 128


def test_the_table_has_a_row_for_each_size(say: Say, pictures: Path, tokenizer: Path) -> None:
    sizes = ("--size", "64", "--size", "32", "--square")
    code, table, errors = say(str(pictures), "--tokenizer", str(tokenizer), *sizes)
    assert code == 0, errors
    header, first, second, passed_over = table.splitlines()
    assert header.split()[:4] == ["size", "pictures", "PSNR", "dB"]
    assert [line.split()[:2] for line in (first, second)] == [["64", "6"], ["32", "6"]]
    assert passed_over == "passed over: 1 corrupt"


def test_the_help_teaches(say: Say) -> None:
    code, text, _ = say("--help")
    assert code == 0
    for word in ("PSNR", "SSIM", "LPIPS", "rFID", "Examples", "--tokenizer", "vgg16-397923af.pth"):
        assert word in text


def test_what_a_user_can_mend_is_one_line(say: Say, pictures: Path, tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    known = ("--tokenizer", str(tokenizer))
    cases = {
        "no such folder": ("nowhere", *known),
        "there are no pictures": ("empty", *known),
        "no tokenizer can be loaded": (str(pictures), "--tokenizer", "empty"),
        "--size: the tokenizer has no schedule of 40x40": (str(pictures), *known, "--size", "40"),
        "weights.pth: no such file": (str(pictures), *known, "--size", "32", "--vgg16", "weights.pth"),
        "nothing was run in this home": (str(pictures),),
        "written as PNG": (str(pictures), *known, "-o", "sheet.jpg"),
    }
    for message, arguments in cases.items():
        code, _, errors = say(*arguments)
        last = errors.splitlines()[-1]
        assert code == 1
        assert last.startswith("error: ")
        assert message in last
        assert "defect" not in last


def test_schedules_fit_the_tokenizer_and_the_size() -> None:
    paper = TokenizerConfig.preset("nextflow")
    assert [schedules_of_size(paper, size) for size in (256, 512, 1024)] == [table14(n) for n in (12, 16, 18)]
    (own,) = schedules_of_size(paper, 160)
    assert own.grids == tuple((side, side) for side in (*range(1, 9), 10))
    (level,) = schedules_of_size(paper, 256)[20:21]
    assert level.grids == square([*range(1, 9), 10, 12, 14, 16], 16).grids
    trained = (square([1, 2, 4], 16),)
    assert schedules_of_size(paper, 64, trained) == trained
    assert schedules_of_size(paper, 32, trained) != trained
    clip, siglip = (TokenizerConfig.preset(f"tokenflow-{name}") for name in ("clipb", "siglip"))
    assert schedules_of_size(clip, 256) == (tokenflow(256),)
    assert schedules_of_size(siglip, 384) == (tokenflow(384),)
    refused = ((siglip, 256, "[384]"), (clip, 512, "[224, 256]"), (paper, 250, "multiple of 16"))
    for config, size, mend in refused:
        with pytest.raises(UserError) as caught:
            schedules_of_size(config, size)
        assert mend in caught.value.mend
