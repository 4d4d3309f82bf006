"""The memory of a command with all processes that it starts."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

import psutil

MIB = 2**20


def run_watched(command: Sequence[str]) -> dict[str, Any]:
    """What a command prints as its last line, a JSON object, and its peak memory in MiB.

    `peak_rss_mib` counts a page that processes share once for each of them, `peak_pss_mib` once in all.

    Raises:
        SystemExit: the command failed.
    """
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peaks: dict[str, float] = {}
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks))
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found | {name: round(peak) for name, peak in peaks.items()}


def _watch(pid: int, peaks: dict[str, float]) -> None:
    """The peak memory of a process and all its children, until it ends."""
    root = psutil.Process(pid)
    while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
        sums = {"peak_rss_mib": 0.0, "peak_pss_mib": 0.0}
        for process in [root, *root.children(recursive=True)]:
            try:
                memory = process.memory_full_info()
            except psutil.Error:
                continue
            sums["peak_rss_mib"] += memory.rss / MIB
            sums["peak_pss_mib"] += memory.pss / MIB
        for name, value in sums.items():
            peaks[name] = max(peaks.get(name, 0.0), value)
        time.sleep(1.0)
