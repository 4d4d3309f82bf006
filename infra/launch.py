"""Where a job runs: in this process, or on a cluster through the Ray Jobs API. Same job, same bytes."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shlex
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from infra import storage
from infra.errors import UserError
from infra.job import JobSpec, load_job
from infra.manifest import Manifest, find_manifest
from infra.messages import deliver
from infra.reporter import Reporter

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

FINAL = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
"""States in which a Ray job does nothing any more."""

LOG_TAIL = 40
"""Lines of a failed job's own output that its error shows."""

RECONNECTS = 5
"""Times in a row that the job server may drop the log before we give up; the job itself goes on."""


class Launcher(Protocol):
    """Runs a job by its name and returns what it published."""

    def run(self, job: str, spec: JobSpec[Any], report: Reporter) -> Manifest:
        """Run `job` (`jobs.module:function`) to its end; what it reports goes to `report`, live."""


class InProcessLauncher:
    """Calls the job here. Its Ray work goes to the Ray of this process."""

    def run(self, job: str, spec: JobSpec[Any], report: Reporter) -> Manifest:
        """Call the job's function."""
        return load_job(job)(spec, report)


class RayJobsLauncher:
    """Runs jobs on the Ray cluster behind a job server, and survives its own death.

    A job's submission id is made from what it makes, so a launcher that was killed finds its job
    again and never starts a second one. The cluster's nodes need this package, and storage that they
    share with this process.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def run(self, job: str, spec: JobSpec[Any], report: Reporter) -> Manifest:
        """Submit the job or rejoin it, pass on what it says, and read its manifest at the end.

        Raises:
            UserError: what the job says a user has to mend, or the server cannot be reached.
            RuntimeError: the job failed otherwise; has the end of its log.
        """
        client = _connect(self.address)
        name = submission_id(spec)
        self._start(client, name, job, spec)
        try:
            own_lines = _follow(client, name, report)
        except BaseException as error:
            # Not an Exception: the run is cancelled, by Ctrl-C or by Dagster's termination.
            if not isinstance(error, Exception):
                client.stop_job(name)
            raise
        state = _state(client, name)
        manifest = find_manifest(spec.output) if state == "SUCCEEDED" else None
        if manifest is None:
            raise RuntimeError(f"Ray job {name} {state.lower()} without a manifest\n{''.join(own_lines)}")
        return manifest

    def _start(self, client: JobSubmissionClient, name: str, job: str, spec: JobSpec[Any]) -> None:
        """Submit the job, unless it is there and not over."""
        state = _state(client, name)
        if state == "MISSING" or state in FINAL:
            if state != "MISSING":
                client.delete_job(name)
            uri = f"{spec.output.rstrip('/')}.spec.json"
            storage.publish_bytes(uri, spec.model_dump_json(serialize_as_any=True).encode())
            try:
                client.submit_job(entrypoint=_entrypoint(job, uri), submission_id=name)
            except RuntimeError:
                # Another launcher may have submitted it meanwhile; then we join that one.
                if _state(client, name) == "MISSING":
                    raise


def submission_id(spec: JobSpec[Any]) -> str:
    """The name of a job on a cluster: one per asset, partition, fingerprint and output place."""
    place = hashlib.sha256(spec.output.encode()).hexdigest()[:8]
    parts = [spec.asset, spec.partition or "", spec.fingerprint, place]
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(part for part in parts if part))


def _connect(address: str) -> JobSubmissionClient:
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]
    from ray.job_submission import JobSubmissionClient

    # A cluster that Ray 2.60 starts asks for a token. The client sends it only where RAY_AUTH_MODE=token
    # was set before Ray was loaded; so it is passed here: RAY_AUTH_TOKEN, or ~/.ray/auth_token.
    tokens: Any = AuthenticationTokenLoader.instance()
    has_token = tokens.has_token(ignore_auth_mode=True)
    token = tokens.get_raw_token(ignore_auth_mode=True) if has_token else ""
    headers = {"Authorization": f"Bearer {token}"} if token else None
    try:
        return JobSubmissionClient(address, headers=headers)
    except ConnectionError as error:
        mend = "Start Ray there with its dashboard, or correct ray_address in the recipe"
        raise UserError("no Ray job server answers", address, mend) from error


def _state(client: JobSubmissionClient, name: str) -> str:
    try:
        return str(client.get_job_status(name).value)
    except RuntimeError as error:
        if "404" in str(error) or "does not exist" in str(error):
            return "MISSING"
        raise


def _follow(client: JobSubmissionClient, name: str, report: Reporter) -> deque[str]:
    """Pass on the job's messages until it ends; return the last lines that were no messages."""
    follower = _Follower(report)
    drops = 0
    while True:
        seen = follower.seen
        try:
            asyncio.run(follower.tail(client, name))
            if _state(client, name) in FINAL:
                return follower.own_lines
        except (RuntimeError, OSError):
            drops = 1 if follower.seen > seen else drops + 1
            if drops > RECONNECTS:
                raise
        time.sleep(1)


class _Follower:
    """Reads a job's log from its start as often as need be, and passes each line on once."""

    def __init__(self, report: Reporter) -> None:
        self.seen = 0
        self.own_lines: deque[str] = deque(maxlen=LOG_TAIL)
        self._report = report

    async def tail(self, client: JobSubmissionClient, name: str) -> None:
        """Follow the log until the server closes it."""
        number, rest = 0, ""
        async for chunk in client.tail_job_logs(name):
            *lines, rest = (rest + chunk).split("\n")
            for line in lines:
                number += 1
                self._take(number, line)
        self._take(number + 1, rest)

    def _take(self, number: int, line: str) -> None:
        if number <= self.seen or not line:
            return
        self.seen = number
        if not deliver(line, self._report):
            self.own_lines.append(line + "\n")


def _entrypoint(job: str, spec_uri: str) -> str:
    """The cluster's shell command: this interpreter where that machine has it, else its `python`."""
    python = f'"$(command -v {shlex.quote(sys.executable)} || echo python)"'
    return f"{python} -m jobs.main --job {shlex.quote(job)} --spec {shlex.quote(spec_uri)}"
