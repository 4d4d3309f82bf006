"""Runs whose process was killed: Dagster would show them as running for ever, and wait for them.

A walk tags its runs with the process that makes them. A run whose process is gone is reported as
failed; what it published stays, and the next walk goes on from there.
"""

from __future__ import annotations

import os
import socket

import dagster as dg

PROCESS_TAG = "nextscale/process"


def process_tag() -> dict[str, str]:
    """The tag of runs that this process makes."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"}


def end_killed_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report the runs of walks that were killed on this machine; return their ids."""
    running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    killed = [run for run in instance.get_runs(running) if _is_killed(run)]
    for run in killed:
        instance.report_run_failed(run, message="Its process was killed. Run the same command again.")
    return [run.run_id for run in killed]


def _is_killed(run: dg.DagsterRun) -> bool:
    host, _, process = run.tags.get(PROCESS_TAG, "").rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's process has the number: it lives
    return False
