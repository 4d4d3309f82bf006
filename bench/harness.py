"""What every benchmark writes: its figures with the hardware, the versions and the commit."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

Call = Callable[[], object]

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, figures: dict[str, Any], packages: list[str], device: str = "cpu") -> None:
    """Write `bench/results/<name>-<device>.json` and print it as the last line, `RESULT {json}`."""
    result = {
        "benchmark": name,
        "device": device,
        "hardware": hardware(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "commit": _commit(),
        "figures": figures,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{device}.json"
    path.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"RESULT {json.dumps(result, sort_keys=True)}")


def seconds_in_turn(calls: Mapping[str, Call], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each call over rounds in which each has its turn. Warm them up before."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(timed(call, device))
            print(name, found[name][-1], flush=True)
    return {name: statistics.median(values) for name, values in found.items()}


def timed(call: Call, device: str) -> float:
    """Seconds of one call, until the device is done."""
    start = time.perf_counter()
    call()
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter() - start


def hardware() -> dict[str, Any]:
    """This machine: processor, cores this process may use, memory in GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "memory_gib": round(memory, 1)}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _commit() -> str:
    """The commit, marked where the working tree differs from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
