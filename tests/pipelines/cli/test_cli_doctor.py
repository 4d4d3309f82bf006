"""`nextscale doctor` finds what is missing, and only then fails."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pipelines.cli.ports import is_free, next_free

Run = Callable[..., "CompletedProcess[str]"]

WITHOUT_RAY = """
import importlib.metadata as metadata
real = metadata.version
def version(name):
    if name == "ray":
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
"""


def findings(done: CompletedProcess[str]) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_all_that_is_required_is_here(nextscale: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = nextscale("doctor", "--json", "--port", str(port))
    assert done.returncode == 0, done.stdout
    rows = findings(done)
    assert {"python", "torch", "ray", "deepspeed", "dagster", "cuda", "s3fs", "chromium"} <= rows.keys()
    assert {"cores", "memory", "home", "free disk"} <= rows.keys()
    assert (rows[f"port {port}"]["ok"], rows[f"port {port}"]["required"]) == (False, False)
    assert rows["home"]["found"] == str(tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_home_that_cannot_be_made_fails(nextscale: Run, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "file").write_text("")
    done = nextscale("doctor", "--home", str(tmp_path / "file" / "home"), *arguments)
    assert done.returncode == 1
    assert done.stderr == ""
    if arguments:
        assert findings(done)["home"]["ok"] is False
    else:
        assert done.stdout.splitlines()[-1] == "missing: home"


def test_a_missing_package_fails_and_says_how_to_get_it(
    nextscale: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_RAY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = nextscale("doctor")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "missing: ray"
    assert any(
        row.split()[:2] == ["missing", "ray"] and "make setup" in row for row in done.stdout.splitlines()
    )


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert next_free(port) > port
    assert is_free(port)
