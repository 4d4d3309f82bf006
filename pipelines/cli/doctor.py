"""`nextscale doctor`: what is installed, what is missing and how to get it. Imports nothing heavy."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import HomeOption, JsonOption

GIB = 1 << 30
REQUIRED = (
    *("torch", "torchvision", "transformers", "safetensors", "ray", "deepspeed", "dagster"),
    *("dagster-webserver", "pyarrow", "pydantic", "fsspec", "opencv-python-headless", "pillow", "matplotlib"),
)
MIN_DISK_GIB = 2
MIN_MEMORY_GIB = 4
MIN_SHARED_MEMORY_GIB = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `mend` says how to get what is missing."""

    name: str
    ok: bool
    required: bool
    found: str
    mend: str = ""

    @property
    def mark(self) -> str:
        """`ok`, `missing` (nothing works without it) or `absent` (some things do not)."""
        return "ok" if self.ok else "missing" if self.required else "absent"


def doctor(
    home: HomeOption = None,
    port: Annotated[int, typer.Option(help="Port that `nextscale up` will use.")] = 3000,
    as_json: JsonOption = False,
) -> None:
    """Say what is installed, what is missing and how to get it.

    The exit code is 0 unless something required is missing.
    """
    findings = [*_software(), *_optional(), *_machine(), *_home(home), _port(port)]
    if as_json:
        print(json.dumps([asdict(f) for f in findings], indent=2))
    else:
        _show(findings)
    if any(f.required and not f.ok for f in findings):
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    from rich.table import Table

    from pipelines.cli.console import make_console

    colours = {"ok": "green", "missing": "red", "absent": "yellow"}
    table = Table("", "what", "found", "how to get it", box=None, pad_edge=False)
    for f in findings:
        table.add_row(f"[{colours[f.mark]}]{f.mark}[/]", f.name, f.found, f.mend)
    make_console().print(table)
    missing = [f.name for f in findings if f.mark == "missing"]
    print(f"missing: {', '.join(missing)}" if missing else "ready: nextscale demo")


def _software() -> Iterator[Finding]:
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info < (3, 14)
    yield Finding("python", fits, True, version, "" if fits else "Install Python 3.11, 3.12 or 3.13")
    for package in REQUIRED:
        yield _package(package, True, "make setup")


def _optional() -> Iterator[Finding]:
    yield _package("s3fs", False, "pip install 'nextscale[s3]' for s3:// folders")
    yield _cuda()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    mend = "" if chromium else "apt install chromium chromium-driver, for the browser test only"
    yield Finding("chromium", bool(chromium), False, chromium or "no", mend)


def _package(name: str, required: bool, mend: str) -> Finding:
    try:
        return Finding(name, True, required, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, required, "no", mend)


def _cuda() -> Finding:
    mend = "none needed: everything runs on CPUs, only slower"
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return Finding("cuda", False, False, "no", mend)
    cards = answer.strip().splitlines()
    return Finding("cuda", bool(cards), False, "; ".join(cards) or "no", "" if cards else mend)


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("cores", cores >= 2, False, str(cores), "" if cores >= 2 else "2 or more are better")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    yield _at_least("memory", memory, MIN_MEMORY_GIB, True, "the demo needs it")
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / GIB
        yield _at_least("shared memory", free, MIN_SHARED_MEMORY_GIB, False, "docker run --shm-size=2g")


def _at_least(name: str, value: float, least: float, required: bool, mend: str) -> Finding:
    fits = value >= least
    return Finding(
        name, fits, required, f"{value:.1f} GiB", "" if fits else f"at least {least} GiB are needed: {mend}"
    )


def _home(home: str | None) -> Iterator[Finding]:
    from infra import storage
    from infra.errors import UserError
    from infra.settings import resolve_home

    place = resolve_home(home)
    try:
        if storage.is_remote(place):
            storage.exists(storage.join(place, "recipes/current.yaml"))
            yield Finding("home", True, True, place)
            return
        folder = _existing_parent(Path(place))
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield Finding("home", True, True, place)
        yield _at_least("free disk", shutil.disk_usage(folder).free / GIB, MIN_DISK_GIB, True, str(folder))
    except OSError as error:
        problem = f"{place}: {error.strerror or error}"
        yield Finding("home", False, True, problem, "choose another with --home")
    except UserError as error:
        yield Finding("home", False, True, str(error), "choose another with --home")


def _existing_parent(path: Path) -> Path:
    return path if path.exists() or path == path.parent else _existing_parent(path.parent)


def _port(port: int) -> Finding:
    from pipelines.cli.ports import is_free, next_free

    free = is_free(port)
    mend = "" if free else f"nextscale up --port {next_free(port)}"
    return Finding(f"port {port}", free, False, "free" if free else "in use", mend)
