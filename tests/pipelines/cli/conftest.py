"""The real command, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMAND = str(Path(sys.executable).with_name("nextscale"))


@pytest.fixture
def nextscale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `nextscale ARGUMENTS` with `home` below the test's folder; return what it said and its code."""
    monkeypatch.setenv("NEXTSCALE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    def run(*arguments: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        command = [COMMAND, *arguments]
        return subprocess.run(
            command, cwd=cwd, env=dict(os.environ), capture_output=True, text=True, timeout=280
        )

    return run
