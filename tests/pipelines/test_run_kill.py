"""SIGKILL in the middle of a whole run, then the same command: the same bytes as without the kill."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).parent / "cli" / "tiny.yaml"
AREAS = ("curated", "tokens", "packs", "checkpoints", "evals")

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]


def start(home: Path) -> subprocess.Popen[str]:
    command = [Path(sys.executable).parent / "nextscale", "run", "--recipe", RECIPE, "--home", home]
    return subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the kill takes the workers along, as a lost machine does
    )


def finish(home: Path) -> None:
    run = start(home)
    _, errors = run.communicate()
    assert run.returncode == 0, errors


def kill_at(home: Path, line: str) -> None:
    run = start(home)
    assert run.stderr is not None
    reached = any(said.startswith(line) for said in run.stderr)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert reached, f"the run ended before {line!r}"


def published(home: Path) -> dict[str, str]:
    """Digest of every file that a finished stage's manifest stands for, by path."""
    files = [path for area in AREAS for path in sorted((home / area).rglob("*")) if path.is_file()]
    kept = [
        path for path in files if path.parent.name in ("data", "model") or path.name == "manifest.parquet"
    ]
    return {str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("undisturbed")
    finish(home)
    return published(home)


@pytest.mark.parametrize(
    "line",
    [
        "t2i/filtered [t2i-0000]: started",
        "tokenizer/joint: 1/4",
        "tokens/t2i [t2i-0000|tiny]: started",
        "training/alignment: 1/2",
        "training/pretrain_256: started",
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes(
    line: str, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    kill_at(tmp_path, line)
    finish(tmp_path)
    assert published(tmp_path) == undisturbed
