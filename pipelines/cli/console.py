"""What people see while they wait: bars on a terminal, plain lines everywhere else.

Progress goes to stderr, results to stdout, so that `nextscale status --json | jq` works. Away from
a terminal nothing is drawn over and no control characters are written.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

from infra.reporter import Reporter

if TYPE_CHECKING:
    from assets.plan import StageResult

PLAIN_WIDTH = 120
"""Columns of tables that go to a file or a pipe."""

SECONDS_BETWEEN_LINES = 5.0
"""How often one job speaks where lines cannot be drawn over."""

SHOWN_FIGURES = 4
"""Figures on one line; jobs give the important ones first."""


def make_console(stderr: bool = False) -> Console:
    """A console for results (stdout) or progress (stderr), plain where nobody watches."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(stderr=stderr, highlight=False)
    return Console(stderr=stderr, highlight=False, no_color=True, force_terminal=False, width=PLAIN_WIDTH)


def title(asset: str, partition: str | None) -> str:
    """How an asset and its partition are written: `tokens/t2i [t2i-0000|demo]`."""
    return f"{asset} [{partition}]" if partition else asset


def format_figures(step: int, values: dict[str, float]) -> str:
    """The first few figures on one line: `step 40  loss 3.21  tokens/s 812`."""
    shown = list(values.items())[:SHOWN_FIGURES]
    return "  ".join([f"step {step}", *(f"{name} {value:.4g}" for name, value in shown)])


class View(Protocol):
    """Where the progress of a whole run is shown; a context manager."""

    def watch(self, asset: str, partition: str | None) -> Reporter:
        """A job begins: where it reports to."""

    def finish(self, result: StageResult) -> None:
        """An asset is there, made or reused."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def make_view() -> View:
    """Bars where someone watches, lines elsewhere."""
    return BarView(make_console(stderr=True)) if sys.stderr.isatty() else LineView()


def _done_line(result: StageResult) -> str:
    how = "reused" if result.reused else f"{result.seconds:.1f} s"
    return f"{title(result.asset, result.partition)}: {result.counts.describe()} ({how})"


class BarView:
    """One bar per running job, with its latest figures beside it; finished assets scroll up."""

    def __init__(self, console: Console) -> None:
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            Elapsed(),
            TextColumn("[cyan]{task.fields[figures]}"),
            console=console,
            transient=True,
        )
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def watch(self, asset: str, partition: str | None) -> Reporter:
        """Add a bar for the job."""
        name = title(asset, partition)
        if name in self.tasks:
            self.bars.remove_task(self.tasks[name])
        self.tasks[name] = self.bars.add_task(escape(name), total=None, unit="", figures="")
        return _Bar(self.bars, self.tasks[name])

    def finish(self, result: StageResult) -> None:
        """Take the bar away and leave one line."""
        task = self.tasks.pop(title(result.asset, result.partition), None)
        if task is not None:
            self.bars.remove_task(task)
        self.bars.console.print(escape(_done_line(result)), style="dim" if result.reused else "")


class _Bar:
    """The reporter of one job on a terminal."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self.bars = bars
        self.task = task

    def progress(self, done: int, total: int, unit: str) -> None:
        """Move the bar."""
        self.bars.update(self.task, completed=done, total=total, unit=unit)

    def figures(self, step: int, values: dict[str, float]) -> None:
        """Show the latest figures beside the bar."""
        self.bars.update(self.task, figures=escape(format_figures(step, values)))

    def picture(self, name: str, uri: str) -> None:
        """Pictures are listed at the end of a run."""

    def log(self, message: str) -> None:
        """Print the line above the bars."""
        self.bars.console.print(escape(message), style="dim")


class LineView:
    """One line when a job begins, now and then while it runs, and when its asset is there."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def watch(self, asset: str, partition: str | None) -> Reporter:
        """Say that the job begins."""
        self.say(f"{title(asset, partition)}: started")
        return _Lines(self, title(asset, partition))

    def finish(self, result: StageResult) -> None:
        """Say what the asset holds."""
        self.say(_done_line(result))

    def say(self, line: str) -> None:
        """Write one line; jobs report from several threads."""
        with self.lock:
            print(line, file=sys.stderr, flush=True)


class _Lines:
    """The reporter of one job where lines cannot be drawn over."""

    def __init__(self, view: LineView, name: str) -> None:
        self.view = view
        self.name = name
        self.spoke = time.monotonic()
        self.latest = ""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Say how far the job is, every few seconds."""
        if time.monotonic() - self.spoke >= SECONDS_BETWEEN_LINES:
            self.spoke = time.monotonic()
            self.view.say(f"{self.name}: {done}/{total} {unit}  {self.latest}".rstrip())

    def figures(self, step: int, values: dict[str, float]) -> None:
        """Keep the figures for the next line."""
        self.latest = format_figures(step, values)

    def picture(self, name: str, uri: str) -> None:
        """Pictures are listed at the end of a run."""

    def log(self, message: str) -> None:
        """Say it at once."""
        self.view.say(f"{self.name}: {message}")
