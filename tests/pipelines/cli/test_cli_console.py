"""Away from a terminal: plain lines, progress now and then, and no control characters."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from assets.plan import StageResult
from infra.catalogue import Counts
from pipelines.cli import console
from pipelines.cli.console import BarView, LineView, View, format_figures
from pipelines.cli.tables import stage_table

RESULT = StageResult(
    "t2i/filtered", "t2i-0000", Counts(total=9, kept=7, rejected={"small": 2}), 1.25, False, "f"
)


def play(view: View) -> None:
    """A short job, from start to end, in a view."""
    with view:
        report = view.watch(RESULT.asset, RESULT.partition)
        report.figures(3, {"loss": 3.21459, "tokens/s": 812.0})
        for done in range(1, 4):
            report.progress(done, 3, "pictures")
        report.picture("funnel", "somewhere.png")
        report.log("a [bold] remark")
        view.finish(RESULT)


def test_lines_tell_start_progress_figures_and_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    play(LineView())
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "t2i/filtered [t2i-0000]: started",
        *(f"t2i/filtered [t2i-0000]: {n}/3 pictures  step 3  loss 3.215  tokens/s 812" for n in (1, 2, 3)),
        "t2i/filtered [t2i-0000]: a [bold] remark",
        "t2i/filtered [t2i-0000]: 9 in = 7 kept + 2 rejected + 0 errored (1.2 s)",
    ]


def test_lines_do_not_come_faster_than_one_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    view = LineView()
    report = view.watch("packs/alignment", None)
    for done in range(10_000):
        report.progress(done, 10_000, "packs")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_bars_leave_one_line_for_each_asset() -> None:
    stream = io.StringIO()
    view = BarView(Console(file=stream, force_terminal=True, width=100, highlight=False))
    play(view)
    text = stream.getvalue()
    assert "9 in = 7 kept + 2 rejected + 0 errored (1.2 s)" in text
    assert "a [bold] remark" in text
    assert not view.bars.tasks


def test_figures_are_short() -> None:
    assert format_figures(7, {"loss": 1 / 3}) == "step 7  loss 0.3333"
    assert len(format_figures(1, {f"scale {n}": n / 3 for n in range(50)})) < 100


def test_the_table_holds_every_number() -> None:
    stream = io.StringIO()
    reused = StageResult("packs/alignment", None, Counts(total=12345, kept=12345), 0.0, True, "f")
    Console(file=stream, width=120).print(stage_table([RESULT, reused]))
    rows = [line.split() for line in stream.getvalue().splitlines()]
    assert rows[0] == ["asset", "partition", "in", "kept", "rejected", "errored", "seconds", "reused"]
    assert rows[1] == ["t2i/filtered", "t2i-0000", "9", "7", "2", "0", "1.2", "no"]
    assert rows[2] == ["packs/alignment", "12,345", "12,345", "0", "0", "yes"]
