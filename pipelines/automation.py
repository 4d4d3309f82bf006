"""What happens by itself, once a person turns it on; only the search for new data is on from the start.

Nothing here starts a training: what waits for one is named, and is made once a person has run it. Each tick
judges the project of that moment, which is the one that a run makes: a server lives for long, and its recipe
and what its home has forgotten change meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import dagster as dg

from assets.backlog import Backlog, find_backlog
from assets.graph import job_assets
from assets.killed import end_killed_runs
from assets.pools import ensure_limits
from assets.processes import tag_processes
from assets.project import Project
from assets.sources import report_drops
from infra.errors import UserError
from pipelines.bring_up_to_date import NAME, run_config
from pipelines.jobs import grouped

Load = Callable[[], Project]
"""Makes the project as it is now."""

DISCOVERY_SECONDS = 60
PACKING_SECONDS = 60

NIGHT = "0 2 * * *"
"""When `nightly` runs, in UTC."""

ASKED = {"nextscale/asked_by": "pack_new_drops"}

STATE_TAG = "nextscale/state"
"""Tag of a run that was asked for: the state of recipe, drops and trained weights it is for."""

WHY_TAG = "nextscale/why"
"""Tag of a run that was asked for: what was missing or stale."""

_NOT_OVER = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def discovery(load: Load) -> dg.SensorDefinition:
    """Looks for new raw data once a minute. It only lists; nothing is computed until someone asks."""

    @dg.sensor(
        name="discover",
        minimum_interval_seconds=DISCOVERY_SECONDS,
        # On from the start: without drops there would be nothing to click on.
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lists every source and adds its new drops as partitions.",
    )
    def discover(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        tag_processes(context.instance)
        end_killed_runs(context.instance)
        ensure_limits(context.instance)
        try:
            drops = report_drops(load(), context.instance)
        except UserError as error:
            return dg.SkipReason(str(error))
        return dg.SkipReason(f"{sum(map(len, drops.values()))} drops; materialize what you want of them")

    return discover


def packing(load: Load, job: dg.JobDefinition) -> dg.SensorDefinition:
    """Asks for new drops to be curated, extracted and packed, as far as no training is needed."""

    @dg.sensor(
        name="pack_new_drops",
        job=job,
        minimum_interval_seconds=PACKING_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Brings curation, tokens and packs up to date when data, recipe or image tokenizer "
        "changed, once for each change. Starts no training.",
    )
    def pack_new_drops(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            project = load()
            backlog = find_backlog(project, context.instance)
        except UserError as error:
            return dg.SkipReason(str(error))
        context.update_cursor(backlog.words)
        last = next(iter(context.instance.get_runs(dg.RunsFilter(job_name=NAME, tags=ASKED), limit=1)), None)
        reason = _why_not(project, backlog, context.instance) or _asked_before(backlog, last)
        key = f"{backlog.state} after {last.run_id}" if last else backlog.state
        return _answer(backlog, reason, run_key=key, tags=ASKED | {STATE_TAG: backlog.state})

    return pack_new_drops


def nightly(load: Load, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Brings the packs up to date at night, as far as no training is needed; tries again the next night."""

    @dg.schedule(
        name="nightly",
        job=job,
        cron_schedule=NIGHT,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Finds new drops and brings curation, tokens and packs up to date. Starts no training.",
    )
    def bring_up_to_date_nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            project = load()
            report_drops(project, context.instance)
            backlog = find_backlog(project, context.instance)
        except UserError as error:
            return dg.SkipReason(str(error))
        return _answer(backlog, _why_not(project, backlog, context.instance))

    return bring_up_to_date_nightly


def _answer(
    backlog: Backlog, reason: str | None, run_key: str | None = None, tags: Mapping[str, str] | None = None
) -> dg.RunRequest | dg.SkipReason:
    """A run of what needs no training; where there is a reason against it, that and what is to be done."""
    if reason:
        return dg.SkipReason(f"{reason}. {backlog.words}".removesuffix(". "))
    return dg.RunRequest(
        run_key=run_key,
        run_config=run_config(",".join(backlog.ready)),
        tags={WHY_TAG: backlog.words, **(tags or {})},
    )


def _why_not(project: Project, backlog: Backlog, instance: dg.DagsterInstance) -> str | None:
    """Why nothing is to be asked for now, in words."""
    if not backlog.words:
        return "the packs hold every drop"
    if not backlog.ready:
        jobs = ", then ".join(_training_jobs(project, backlog))
        return f"all waits for the training of {', '.join(backlog.trainings)}: start {jobs}"
    if runs := instance.get_runs(dg.RunsFilter(job_name=NAME, statuses=_NOT_OVER), limit=1):
        return f"run {runs[0].run_id} is at it"
    return None


def _training_jobs(project: Project, backlog: Backlog) -> list[str]:
    """The jobs that make the trainings that all waits for, in an order in which they can be run."""
    jobs = grouped(job_assets(project.recipe))
    return [name for name, assets in jobs.items() if any(asset.key in backlog.trainings for asset in assets)]


def _asked_before(backlog: Backlog, last: dg.DagsterRun | None) -> str | None:
    """Why another run would do no more than the last one that was asked for, in words."""
    if last is None or last.tags.get(STATE_TAG) != backlog.state:
        return None
    if not last.is_success:
        return f"run {last.run_id} ended before all was made: mend what it says, then start it again"
    if last.tags.get(WHY_TAG) == backlog.words:
        mend = "start it again, or `nextscale up` where the code has changed"
        return f"run {last.run_id} succeeded, and as much is to be done again: {mend}"
    return None
