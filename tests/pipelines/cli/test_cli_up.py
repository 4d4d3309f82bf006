"""`nextscale up` serves the graph on loopback and takes its children along when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("nextscale"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def running_below(home: Path) -> list[str]:
    """Processes whose environment names the home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"NEXTSCALE_HOME={home}\0".encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.chaos)])
def test_up_serves_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    port, home = free_port(), tmp_path / "home"
    command = [COMMAND, "up", "--home", str(home), "--port", str(port)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NEXTSCALE_", "DAGSTER_"))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with (
        subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes) as process,
        contextlib.ExitStack() as cleanup,
    ):
        cleanup.callback(process.terminate)  # a failed assertion must not leave it, and the test, waiting
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("starting (log: ")
        assert process.stdout.readline() == f"nextscale is at http://127.0.0.1:{port} (Ctrl-C ends it)\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=30) as answer:
            assert b"dagster" in answer.read()
        assert running_below(home)
        process.send_signal(number)
        assert process.wait(60) == 130
        assert process.stderr.read().startswith("interrupted")
    assert running_below(home) == []
    socket.create_server(("127.0.0.1", port)).close()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "dagster").mkdir(parents=True)
    (home / "dagster" / "dagster.yaml").write_text("telemetry: [not, a, mapping]\n")
    command = [COMMAND, "up", "--home", str(home), "--port", str(free_port())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {home / 'dagster' / 'up.log'}: the web server did not start. ")
    assert done.stderr.count("\n") == 1
