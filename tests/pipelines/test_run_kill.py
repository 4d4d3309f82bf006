"""SIGKILL in the middle of a whole run, then the same command: the same bytes as without the kill."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = Path(__file__).parent / "cli" / "tiny.yaml"
LONGER = ("workers=2", "packs_per_step=2", "steps=60", "checkpoint_every=5")
"""The last stage runs on two workers, long enough to be killed between two checkpoints."""
AREAS = ("curated", "tokens", "packs", "checkpoints", "evals")

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]


def start(home: Path) -> subprocess.Popen[str]:
    command = [Path(sys.executable).parent / "nextscale", "run", "--recipe", RECIPE, "--home", home]
    settings = [part for setting in LONGER for part in ("--set", f"stages.pretrain_256.{setting}")]
    return subprocess.Popen(
        [*map(str, command), *settings],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the kill takes the workers along, as a lost machine does
    )


def finish(home: Path) -> str:
    """Run to the end; what was told on the way."""
    run = start(home)
    _, told = run.communicate()
    assert run.returncode == 0, told
    return told


def kill_at(home: Path, line: str) -> None:
    run = start(home)
    assert run.stderr is not None
    reached = any(said.startswith(line) for said in run.stderr)
    kill(run)
    assert reached, f"the run ended before {line!r}"


def kill(run: subprocess.Popen[str]) -> None:
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


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
        "tokenizer/semantic: 1/4",
        "tokenizer/pixel: 3/4",
        "tokenizer/joint: 1/4",
        "tokenizer/decoder: 3/4",
        "evaluation/tokenizer: started",
        "tokens/t2i [t2i-0000|tiny]: started",
        "training/alignment: started",
    ],
)
def test_a_killed_run_goes_on_to_the_same_bytes(
    line: str, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    kill_at(tmp_path, line)
    finish(tmp_path)
    assert published(tmp_path) == undisturbed


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    undisturbed: dict[str, str], tmp_path: Path
) -> None:
    run = start(tmp_path)
    while not (steps := finished_checkpoints(tmp_path)):
        assert run.poll() is None, "the run ended before a checkpoint"
        time.sleep(0.01)
    kill(run)
    told = finish(tmp_path)
    seen = [int(step) for step in re.findall(r"training/pretrain_256: (\d+)/60 steps", told)]
    assert min(seen) > max(steps) > 0
    assert published(tmp_path) == undisturbed


def finished_checkpoints(home: Path) -> list[int]:
    """Steps that the last stage could go on from."""
    found = (home / "checkpoints" / "pretrain_256").glob("*/checkpoints/step-*/finished.json")
    return [int(path.parent.name.removeprefix("step-")) for path in found]
