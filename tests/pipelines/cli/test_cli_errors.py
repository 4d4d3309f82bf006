"""What a newcomer gets wrong: one line on stderr with what, where and how to mend it; code 1."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pipelines.cli.workspace import SHIPPED, begin

Run = Callable[..., "CompletedProcess[str]"]


def line(done: CompletedProcess[str]) -> str:
    """The one line of a failed command, without `error: `."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("error: ").rstrip("\n")


def run_folder(nextscale: Run, uri: str) -> CompletedProcess[str]:
    return nextscale(
        "run", "--recipe", "folder", "--set", f"sources.t2i.uri={uri}", "--select", "t2i/filtered"
    )


def test_an_empty_folder(nextscale: Run, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    message = line(run_folder(nextscale, "pictures"))
    assert message.startswith(f"{tmp_path / 'pictures'}: no pictures here")
    assert "sources.t2i.uri" in message


def test_a_missing_folder(nextscale: Run, tmp_path: Path) -> None:
    assert line(run_folder(nextscale, "nowhere")).startswith(f"{tmp_path / 'nowhere'}: no such folder")


def test_a_missing_bucket(nextscale: Run, s3_root: str) -> None:
    assert s3_root
    message = line(run_folder(nextscale, "s3://no-such-bucket-here/pictures"))
    assert message.startswith(
        "s3://no-such-bucket-here/pictures: bucket 'no-such-bucket-here' does not exist"
    )


def test_a_missing_bucket_as_home(nextscale: Run, s3_root: str) -> None:
    assert s3_root
    message = line(nextscale("run", "--recipe", "demo", "--home", "s3://no-such-bucket-here/home"))
    assert "bucket 'no-such-bucket-here' does not exist" in message


def test_a_misspelt_key(nextscale: Run, tmp_path: Path) -> None:
    text = (SHIPPED / "demo.yaml").read_text().replace("batch_size: 8", "bach_size: 8", 1)
    (tmp_path / "mine.yaml").write_text(text)
    number = 1 + next(n for n, row in enumerate(text.splitlines()) if "bach_size" in row)
    message = line(nextscale("run", "--recipe", "mine.yaml"))
    assert message == f"mine.yaml:{number}: unknown key 'tokenizer.bach_size'. Did you mean 'batch_size'?"


def test_a_missing_recipe(nextscale: Run) -> None:
    message = line(nextscale("run", "--recipe", "mine.yaml"))
    assert message.startswith("mine.yaml: no such recipe. ")
    assert "demo, folder" in message


def test_a_misspelt_setting(nextscale: Run) -> None:
    message = line(nextscale("demo", "--set", "tokenizer.pixel.stpes=3"))
    assert message == "--set: unknown key 'tokenizer.pixel.stpes'. Did you mean 'steps'?"


def test_an_unknown_selection(nextscale: Run) -> None:
    message = line(nextscale("run", "--recipe", "demo", "--select", "t2i/captoined"))
    assert message == "--select: 't2i/captoined' selects nothing. Did you mean 't2i/captioned'?"


def test_a_home_that_is_a_file(nextscale: Run, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    message = line(nextscale("run", "--recipe", "demo", "--home", "occupied"))
    assert str(tmp_path / "occupied") in message


@pytest.mark.parametrize("command", [["status"], ["generate", "a red circle"], ["run"]])
def test_a_home_without_anything(nextscale: Run, tmp_path: Path, command: list[str]) -> None:
    message = line(nextscale(*command))
    assert message.startswith(f"{tmp_path / 'home'}: nothing was run in this home yet. Run: nextscale demo")
    assert not (tmp_path / "home").exists()


def test_generate_without_a_trained_model(nextscale: Run, tmp_path: Path) -> None:
    begin(str(tmp_path / "home"), "demo")
    message = line(nextscale("generate", "a red circle"))
    assert message.startswith(f"{tmp_path / 'home'}: there is no trained model")
    assert f"nextscale run --home {tmp_path / 'home'}" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "generate: there is no prompt. "),
        (["--prompts", "nope.txt"], "nope.txt: cannot read the prompts"),
        (["a", "-o", "folder.png"], "folder.png: is a folder. "),
        (["a", "-o", "out.jpg"], "out.jpg: the picture is written as PNG. "),
        (["a", "-o", "nowhere/out.png"], "nowhere: no such folder. "),
        (["a", "--interleaved", "-o", "out.png"], "out.png: the document is written as Markdown. "),
        (["a", "--text", "--think"], "generate: --text and --think exclude each other. "),
    ],
)
def test_generate_says_what_is_wrong_before_any_work(
    nextscale: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    assert message in line(nextscale("generate", *arguments))


def test_a_busy_port(nextscale: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        message = line(nextscale("up", "--port", str(port)))
    assert message.startswith(f"--port: port {port} is in use. Try --port ")
    suggested = int(message.rsplit(" ", 1)[1])
    with socket.create_server(("127.0.0.1", suggested)):
        assert suggested > port
