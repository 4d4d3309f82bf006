"""The command `nextscale`: wires the commands and turns every failure into one line.

Exit codes: 0 done; 1 something the user can mend, or a defect; 2 a wrong command line; 130
interrupted. Importing this module loads no torch, ray or dagster, so that help comes at once.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import warnings
from typing import Annotated

import typer
from typer.exceptions import TyperException

from infra.errors import UserError
from pipelines.cli import (
    demo,
    doctor,
    evaluate_tokenizer,
    flops,
    forget,
    generate,
    import_tokenizer,
    run,
    status,
    trace,
    up,
)

INTERRUPTED = 130

HELP = """
Pictures with captions in; a curated dataset, token indices, packs, a trained image tokenizer, a
trained transformer and generated pictures out. Each is a Dagster asset with lineage, counts and
pictures. Killed at any moment, the same command continues and gives the same bytes.

A **recipe** is one YAML file that says a whole project: the source of the pictures, the filters, the
resolution levels, the tokenizer, the model and its training stages. Shipped ones are called by name
(`demo`, `folder`); copy one and change it, or change a setting with `--set`. A **home** is the folder
(or `s3://bucket/prefix`) that keeps everything a recipe made, by content: nothing is made twice.

Examples:

- `nextscale demo`: the whole way on a laptop, no downloads
- `nextscale up`: look at it in a browser
- `nextscale generate "a red circle" -o circle.png`: pictures from the trained model
- `nextscale run --recipe folder --set sources.t2i.uri=./holiday`: your own captioned pictures
- `nextscale run --recipe demo --select t2i/captioned`: stop after curation; `--select` takes asset keys
  (`t2i/captioned`), patterns (`packs/*`), groups (`group:curation_t2i`), or several with commas
- `nextscale import-tokenizer tokenflow_clipb_32k_enhanced.pt -o tokenflow`: published weights into our format
- `nextscale evaluate-tokenizer ./holiday --size 256`: what a tokenizer keeps of your pictures
- `nextscale flops`: what an image costs, as the paper counts and as the model is
- `nextscale status`: what is there, what is stale
- `nextscale trace ./holiday/beach.jpg`: what became of a picture, up to the checkpoints that saw it
- `nextscale forget ./holiday/beach.jpg`: take it out of all packs
"""

app = typer.Typer(
    name="nextscale",
    help=HELP,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)
app.command()(demo.demo)
app.command()(run.run)
app.command()(up.up)
app.command()(status.status)
app.command()(trace.trace)
app.command()(forget.forget)
app.command()(generate.generate)
app.command()(import_tokenizer.import_tokenizer)
app.command()(evaluate_tokenizer.evaluate_tokenizer)
app.command()(flops.flops)
app.command()(doctor.doctor)


@app.callback()
def _options(
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None: ...


def main() -> int:
    """Run the command line of this process; return its exit code."""
    arguments, debug = _take_debug(sys.argv[1:] or ["--help"])
    if not debug:
        # Of Python's own: meant for those who write the libraries, not for who runs this.
        warnings.simplefilter("ignore")
    try:
        code = int(app(args=arguments, standalone_mode=False) or 0)
    except BaseException as error:
        if debug:
            raise
        return _report(error)
    if code == INTERRUPTED:
        _say_interrupted()
    return code


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """`--debug` counts wherever it stands, before a `--` that ends the options."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [a for a in arguments[:end] if a != "--debug"]
    return options + arguments[end:], len(options) < end


def _report(error: BaseException) -> int:
    """Say on one line of stderr what went wrong; return the exit code."""
    if isinstance(error, SystemExit):
        raise error
    # Dagster turns Ctrl-C into an exception of its own, which cannot be imported cheaply.
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "DagsterExecutionInterruptedError":
        _say_interrupted()
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # The reader of our output has gone; keep Python from complaining when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "nextscale"
        _say(f"{error.format_message().rstrip('.')}. Try '{command} --help'")
        return error.exit_code
    _say(_describe(error))
    return 1


def _describe(error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    if (full := _full_disk(error)) is not None:
        return f"{full}. Free space, then run the same command again"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}. This is a defect: run again with --debug for the traceback"


def _full_disk(error: BaseException | None) -> str | None:
    """What could not be written and why, if a full disk is behind an error.

    Dagster's history is in SQLite files; their log on a full disk fails as on a broken one.
    """
    seen: set[int] = set()  # causes can run in a circle
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"{error.filename or 'disk'}: the disk is full"
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells kinds of one error apart
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            failing = " or failing" if code == sqlite3.SQLITE_IOERR else ""
            return f"the home's run history: the disk is full{failing}"
        error = error.__cause__ or error.__context__
    return None


def _say(line: str) -> None:
    print(f"error: {line}", file=sys.stderr)


def _say_interrupted() -> None:
    print("interrupted: the same command continues where this one stopped", file=sys.stderr)
