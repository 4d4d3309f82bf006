"""What is shown while `nextscale generate` writes: a count of scales, of tokens, or of both."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from jobs.generate import Ask, generate
from jobs.recipe import Sampling
from pipelines.cli import console
from pipelines.cli.console import BarView, LineView, View
from pipelines.cli.modes import Mode, watch_writing
from tests.jobs.support import LEVEL, publish_tokenizer, publish_transformer

Models = tuple[str, str]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    return publish_transformer(folder / "transformer"), publish_tokenizer(folder / "tokenizer")


def write(models: Models, mode: Mode, view: View) -> None:
    with view:
        generate(
            *models,
            LEVEL,
            [Ask("a star", mode=mode.value, max_text=6, max_images=1)],
            text_tokenizer="builtin",
            samples=1,
            seed=0,
            sampling=Sampling(),
            progress=watch_writing(view, "generate pretrain", mode),
        )


def lines(models: Models, mode: Mode, capsys: pytest.CaptureFixture[str]) -> list[str]:
    write(models, mode, LineView())
    return capsys.readouterr().err.splitlines()


@pytest.fixture(autouse=True)
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)


def test_pictures_are_counted_in_scales(models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    said = lines(models, Mode.picture, capsys)
    counts = [f"generate pretrain: {n}/4 scales" for n in range(1, 5)]
    assert said == ["generate pretrain: started", *counts]


def test_text_is_counted_in_tokens(models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    said = lines(models, Mode.text, capsys)
    assert said[:3] == ["generate pretrain: started", *(f"generate pretrain: {n}/6 tokens" for n in (1, 2))]


@pytest.mark.parametrize("mode", [Mode.think, Mode.interleaved])
def test_both_are_counted_where_both_are_written(
    models: Models, mode: Mode, capsys: pytest.CaptureFixture[str]
) -> None:
    said = lines(models, mode, capsys)
    assert said[:2] == [f"generate pretrain [{unit}]: started" for unit in ("tokens", "scales")]
    assert "generate pretrain [tokens]: 1/6 tokens" in said
    if mode is Mode.think:
        assert said[-1] == "generate pretrain [scales]: 4/4 scales"


def test_a_terminal_shows_a_bar_of_tokens_above_that_of_scales(models: Models) -> None:
    stream = io.StringIO()
    view = BarView(Console(file=stream, force_terminal=True, width=100, highlight=False))
    write(models, Mode.think, view)
    tokens, scales = view.bars.tasks
    assert (tokens.fields["unit"], tokens.total) == ("tokens", 6)
    assert (scales.fields["unit"], scales.completed, scales.total) == ("scales", 4, 4)
    assert 0 < tokens.completed <= 6
    assert re.search(r"generate pretrain \[tokens\].*tokens", stream.getvalue())
