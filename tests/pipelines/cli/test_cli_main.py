"""The command line itself: it starts fast, teaches, and fails on one line."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

Run = Callable[..., "CompletedProcess[str]"]

HEAVY = ("torch", "ray", "dagster", "cv2", "transformers", "deepspeed")
COMMANDS = (
    "demo",
    "run",
    "up",
    "status",
    "trace",
    "forget",
    "generate",
    "import-tokenizer",
    "evaluate-tokenizer",
    "flops",
    "doctor",
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@pytest.mark.parametrize("argument", ["--help", "doctor"])
def test_help_and_doctor_load_nothing_heavy(argument: str) -> None:
    program = (
        "import sys; from pipelines.cli.main import main; sys.argv[1:] = [sys.argv[1]]; main();"
        f"print('LOADED', [m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, argument], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


def test_help_teaches(nextscale: Run) -> None:
    done = nextscale("--help")
    assert done.returncode == 0
    for word in (*COMMANDS, "recipe", "--select", "group:curation_t2i", "Examples"):
        assert word in done.stdout
    assert nextscale().stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_without_control_characters(nextscale: Run, command: str) -> None:
    done = nextscale(command, "--help")
    assert done.returncode == 0
    assert not CONTROL.search(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dmeo"], "error: No such command 'dmeo'"),
        (["run", "--recipee", "x"], "error: No such option: --recipee"),
        (["up", "--port", "high"], "error: Invalid value for '--port'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    nextscale: Run, arguments: list[str], message: str
) -> None:
    done = nextscale(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert done.stderr.rstrip().endswith("--help'")


def test_a_traceback_only_with_debug(nextscale: Run) -> None:
    plain = nextscale("run", "--recipe", "nope.yaml")
    assert plain.returncode == 1
    assert plain.stderr.count("\n") == 1
    for place in (["--debug", "run"], ["run", "--debug"]):
        loud = nextscale(*place, "--recipe", "nope.yaml")
        assert loud.returncode == 1
        assert "Traceback" in loud.stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("KeyboardInterrupt()", 130, "interrupted: the same command continues"),
        (
            f"OSError({errno.ENOSPC}, 'No space left on device', '/data/x')",
            1,
            "error: /data/x: the disk is full.",
        ),
        (
            f"RuntimeError('behind') from OSError({errno.EDQUOT}, 'Disk quota exceeded')",
            1,
            "error: disk: the disk is full.",
        ),
        ("ZeroDivisionError('by zero')", 1, "error: ZeroDivisionError: by zero. This is a defect"),
    ],
)
def test_other_failures_are_one_line_too(error: str, code: int, message: str) -> None:
    program = (
        "import sys, errno; from pipelines.cli import main as m\n"
        "@m.app.command()\n"
        f"def fail() -> None: raise {error}\n"
        "sys.argv[1:] = ['fail']; sys.exit(m.main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert done.stderr.startswith(message)


def test_a_history_that_no_longer_fits_the_disk_says_so() -> None:
    program = (
        "import sys, sqlite3; from sqlalchemy import create_engine, text\n"
        "from pipelines.cli import main as m\n"
        "@m.app.command()\n"
        "def fail() -> None:\n"
        "    with create_engine('sqlite://').begin() as database:\n"
        "        database.execute(text('PRAGMA max_page_count = 1'))\n"
        "        database.execute(text('CREATE TABLE runs (body TEXT)'))\n"
        "sys.argv[1:] = ['fail']; sys.exit(m.main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: the home's run history: the disk is full. Free space")
