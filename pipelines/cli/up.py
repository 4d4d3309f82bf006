"""`nextscale up`: the asset graph in a browser: Dagster's web server and daemon, on loopback only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from infra.errors import UserError
from pipelines.cli.options import HomeOption, SetOption
from pipelines.cli.ports import LOOPBACK, require_free

START_SECONDS = 120
"""How long the server may take to answer; on two busy cores it takes about 20."""

GRACE_SECONDS = 15
"""How long its processes may take to end before they are killed."""

LOG_LINES = 5
"""Lines of the log that an error shows."""


def up(
    home: HomeOption = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A YAML file or a shipped name. Default: the home's own, else `demo`."),
    ] = None,
    settings: SetOption = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Show the asset graph in a browser: lineage, counts, pictures, checks; make assets from there.

    Listens on 127.0.0.1 only, for whoever reaches it may run code here. Ctrl-C ends it.
    """
    from infra.settings import DAGSTER_VARIABLE

    require_free(port)
    environment = _environment(home, recipe, settings)
    folder = Path(environment[DAGSTER_VARIABLE])
    log = folder / "up.log"
    print(f"starting (log: {log})", flush=True)
    with _server(environment, folder, log, port) as server:
        _wait_until_it_answers(server, port, log)
        print(f"nextscale is at http://{LOOPBACK}:{port} (Ctrl-C ends it)", flush=True)
        server.wait()
        raise UserError("the web server ended", str(log), _tail(log))


def _environment(home: str | None, recipe: str | None, settings: list[str] | None) -> dict[str, str]:
    """What tells Dagster's processes which project to draw."""
    from infra import storage
    from infra.settings import (
        DAGSTER_VARIABLE,
        HOME_VARIABLE,
        RECIPE_VARIABLE,
        prepare_dagster_home,
        resolve_home,
    )
    from pipelines.cli.workspace import CURRENT, begin_or_resume

    new = not storage.exists(storage.join(resolve_home(home), CURRENT))
    workspace = begin_or_resume(home, recipe or ("demo" if new else None), settings)
    return {
        HOME_VARIABLE: workspace.home,
        RECIPE_VARIABLE: workspace.recipe_path,
        DAGSTER_VARIABLE: prepare_dagster_home(workspace.home),
    }


@contextmanager
def _server(
    environment: dict[str, str], folder: Path, log: Path, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's processes, in a group of their own that ends with the block, however it is left."""
    command = [sys.executable, "-m", "dagster", "dev", "--module-name", "pipelines.definitions"]
    command += ["--host", LOOPBACK, "--port", str(port)]
    # A polite kill ends the children too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with log.open("wb") as stream:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield server
    finally:
        _end(server)


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UserError("the web server did not start", str(log), _tail(log))
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise UserError(f"the web server does not answer after {START_SECONDS} s", str(log), _tail(log))


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, then make it."""
    for number, patience in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        try:
            os.killpg(server.pid, number)
            server.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _tail(log: Path) -> str:
    """The last lines of the log on one line."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return " | ".join(line.strip() for line in lines if line.strip())
