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
STEPS = 60
LONGER = (
    "tokenizer.checkpoint_every=5",
    f"tokenizer.semantic.steps={STEPS}",
    "tokenizer.semantic.checkpoint_every=5",
    f"tokenizer.pixel.steps={STEPS}",
    f"tokenizer.joint.steps={STEPS}",
    f"tokenizer.decoder.steps={STEPS}",
    "stages.pretrain_256.workers=2",
    "stages.pretrain_256.packs_per_step=2",
    f"stages.pretrain_256.steps={STEPS}",
    "stages.pretrain_256.checkpoint_every=5",
)
"""Trainings long enough to be killed between two checkpoints; the last one runs on two workers."""
AREAS = ("curated", "tokens", "packs", "checkpoints", "evals")

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]


def start(home: Path) -> subprocess.Popen[str]:
    command = [Path(sys.executable).parent / "nextscale", "run", "--recipe", RECIPE, "--home", home]
    settings = [part for setting in LONGER for part in ("--set", setting)]
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
        "t2i/scored [t2i-0000]: started",
        "tokenizer/joint: started",
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


@pytest.mark.parametrize(
    ("asset", "folder"),
    [
        ("tokenizer/semantic", "tokenizer/semantic"),
        ("tokenizer/pixel", "tokenizer/pixel"),
        ("tokenizer/joint", "tokenizer/joint"),
        ("tokenizer/decoder", "tokenizer/decoder"),
        ("training/pretrain_256", "pretrain_256"),
    ],
)
def test_a_killed_training_goes_on_from_its_last_checkpoint(
    asset: str, folder: str, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    run = start(tmp_path)
    while not (steps := finished_checkpoints(tmp_path / "checkpoints" / folder)):
        assert run.poll() is None, "the run ended before a checkpoint"
        time.sleep(0.01)
    kill(run)
    told = finish(tmp_path)
    seen = [int(step) for step in re.findall(rf"{asset}: (\d+)/{STEPS} steps", told)]
    assert min(seen) > max(steps) > 0
    assert published(tmp_path) == undisturbed


def finished_checkpoints(training: Path) -> list[int]:
    """Steps that a training could go on from."""
    found = training.glob("*/checkpoints/step-*/finished.json")
    return [int(path.parent.name.removeprefix("step-")) for path in found]
