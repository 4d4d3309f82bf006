"""Which process makes a run that was started from the UI: so that it is ended when the process is gone.

The server that starts a run's process sees it die. When both die nobody tells Dagster, and the run would
hold its pools for ever.
"""

from __future__ import annotations

import json
import socket

import dagster as dg

from assets.killed import PROCESS_TAG

_SERVER_TAG = ".dagster/grpc_info"
"""Dagster's tag of a run: the server that started its process."""


def tag_processes(instance: dg.DagsterInstance) -> None:
    """Tag the runs that a server on this machine started as walks tag theirs."""
    running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(running):
        is_local = json.loads(run.tags.get(_SERVER_TAG, "{}")).get("host") == "localhost"
        if PROCESS_TAG not in run.tags and is_local and (number := _number(instance, run.run_id)):
            instance.add_run_tags(run.run_id, {PROCESS_TAG: f"{socket.gethostname()}:{number}"})


def _number(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """The number of the process that a run's log names, or None as long as it names none."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        found = event.engine_event_data.metadata.get("pid") if event else None
        if found is not None:
            return str(found.value)
    return None
