"""Which outputs are stale, and making them: groups of assets that share a partition, in order.

An output is fresh when its folder is finished, Dagster has a materialization of that very content
and code version, and its checks passed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import dagster as dg

from assets.build import CHECKS_TAG, REUSED, asset_key, build_assets, run_checks
from assets.graph import job_assets
from assets.job_asset import JobAsset
from assets.killed import end_killed_runs, process_tag
from assets.locate import Locator, NotReadyError, Place, current_drops, describe
from assets.partitions import Drops, partition_keys
from assets.project import Project
from assets.selection import select
from assets.sources import report_drops
from infra.catalogue import Counts
from infra.errors import UserError

State = Literal["fresh", "stale", "missing", "failed"]

_WALK_TAG = "nextscale/walk"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class StageResult:
    """One output after a walk: what it holds, how long it took, or that it was there."""

    asset: str
    partition: str | None
    counts: Counts
    seconds: float
    reused: bool
    folder: str


@dataclass(frozen=True)
class StageStatus:
    """How one output stands.

    `missing`: never made. `stale`: made from something else. `failed`: made, but a check did not hold.
    """

    asset: str
    partition: str | None
    state: State
    counts: Counts | None
    folder: str | None


@dataclass(frozen=True)
class Group:
    """Assets that one Dagster run makes, for one partition."""

    assets: tuple[JobAsset, ...]
    partition: str | None


def materialize_stale(
    project: Project,
    instance: dg.DagsterInstance,
    selection: str | None = None,
    drops: Drops | None = None,
) -> Iterator[StageResult]:
    """Discover the drops, or take those given, and make what is stale, inputs first, in this process.

    Yields the outputs of a group when its run ends; fresh ones too, as reused.

    Raises:
        UserError: what a job or a check says a user has to mend, also a check of an input that is not
            selected. What was made before is kept.
    """
    assets = select(job_assets(project.recipe), selection)
    definitions = build_assets(project)
    end_killed_runs(instance)
    for group in groups(assets, drops or report_drops(project, instance)):
        locator = Locator(project, current_drops(instance))
        fresh = [
            asset
            for asset in group.assets
            if _state(project, instance, locator, asset, group.partition) == "fresh"
        ]
        for asset in fresh:
            yield _reused(locator.place(asset.key, group.partition))
        stale = tuple(asset for asset in group.assets if asset not in fresh)
        if stale:
            _refuse_failed_inputs(Group(stale, group.partition), project, instance, locator)
            yield from _materialize(Group(stale, group.partition), project, instance, definitions)


def groups(assets: list[JobAsset], drops: Drops) -> list[Group]:
    """Neighbours that are cut in the same way, once for each partition."""
    return [
        Group(members, partition)
        for (kind, family, levels), run in groupby(
            assets, key=lambda asset: (asset.partitioning, asset.family, asset.levels)
        )
        for members in [tuple(run)]
        for partition in partition_keys(kind, levels, drops[family])
    ]


def statuses(project: Project, instance: dg.DagsterInstance) -> list[StageStatus]:
    """How every output stands, inputs first. Only looks."""
    drops = current_drops(instance)
    locator = Locator(project, drops)
    return [
        _status(project, instance, locator, asset, partition)
        for asset in job_assets(project.recipe)
        for partition in partition_keys(asset.partitioning, asset.levels, drops[asset.family])
    ]


def _status(
    project: Project, instance: dg.DagsterInstance, locator: Locator, asset: JobAsset, partition: str | None
) -> StageStatus:
    event = _latest(instance, asset, partition)
    place = _place(locator, asset, partition)
    state: State = "stale" if event else "missing"
    if place and place.manifest and event:
        if _agrees(event, project, place):
            state = "fresh" if (event.tags or {}).get(CHECKS_TAG) == "passed" else "failed"
        return StageStatus(asset.key, partition, state, place.manifest.counts, place.folder)
    return StageStatus(asset.key, partition, state, None, place.folder if place else None)


def _state(
    project: Project, instance: dg.DagsterInstance, locator: Locator, asset: JobAsset, partition: str | None
) -> State:
    return _status(project, instance, locator, asset, partition).state


def _place(locator: Locator, asset: JobAsset, partition: str | None) -> Place | None:
    try:
        return locator.place(asset.key, partition)
    except NotReadyError:
        return None


def _latest(
    instance: dg.DagsterInstance, asset: JobAsset, partition: str | None
) -> dg.AssetMaterialization | None:
    partitions = None if partition is None else [partition]
    wanted = dg.AssetRecordsFilter(asset_key=asset_key(asset.key), asset_partitions=partitions)
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0].asset_materialization if records else None


def _agrees(event: dg.AssetMaterialization, project: Project, place: Place) -> bool:
    """Whether a materialization is of what the folder holds, by the recipe and code of now."""
    tags = event.tags or {}
    code = place.asset.code_version(project.recipe)
    content = place.manifest.hash if place.manifest else None
    return (tags.get("dagster/data_version"), tags.get("dagster/code_version")) == (content, code)


def _reused(place: Place) -> StageResult:
    assert place.manifest is not None
    return StageResult(place.asset.key, place.partition, place.manifest.counts, 0.0, True, place.folder)


def _materialize(
    group: Group,
    project: Project,
    instance: dg.DagsterInstance,
    definitions: list[dg.AssetsDefinition | dg.AssetSpec],
) -> Iterator[StageResult]:
    """One Dagster run. What it made before it failed is yielded before the failure is raised."""
    walk = uuid.uuid4().hex
    failure: BaseException | None = None
    try:
        dg.materialize(
            definitions,
            selection=[asset_key(asset.key) for asset in group.assets],
            partition_key=group.partition,
            instance=instance,
            run_config=_QUIET,
            tags={_WALK_TAG: walk} | process_tag(),
        )
    except Exception as error:
        failure = error
    yield from _made(group, project, instance, walk)
    if failure is not None:
        raise _explain(failure, group, project, instance) from failure


def _refuse_failed_inputs(
    group: Group, project: Project, instance: dg.DagsterInstance, locator: Locator
) -> None:
    """Nothing is made from what a check refused, selected or not: blocking checks block within a run alone.

    Raises:
        UserError: a check of an input failed, and still does.
    """
    members = {asset.key for asset in group.assets}
    for asset in group.assets:
        for made, partition in locator.read_by(asset, group.partition):
            if made.key in members or _state(project, instance, locator, made, partition) != "failed":
                continue
            if error := _failed_check(locator.place(made.key, partition), project):
                raise error


def _made(group: Group, project: Project, instance: dg.DagsterInstance, walk: str) -> Iterator[StageResult]:
    """What the run of a walk materialized with passing checks, in order."""
    runs = instance.get_runs(dg.RunsFilter(tags={_WALK_TAG: walk}), limit=1)
    if not runs:
        return
    steps = {stats.step_key: stats for stats in instance.get_run_step_stats(runs[0].run_id)}
    locator = Locator(project, current_drops(instance))
    for asset in group.assets:
        event = _latest(instance, asset, group.partition)
        stats = steps.get(asset.key.replace("/", "__"))
        if event is None or stats is None or (event.tags or {}).get(CHECKS_TAG) != "passed":
            return
        place = locator.place(asset.key, group.partition)
        if place.manifest is None or not stats.end_time or not stats.start_time:
            return
        reused = bool(event.metadata[REUSED].value)
        seconds = stats.end_time - stats.start_time
        yield StageResult(asset.key, group.partition, place.manifest.counts, seconds, reused, place.folder)


def _explain(
    error: BaseException, group: Group, project: Project, instance: dg.DagsterInstance
) -> BaseException:
    """The error that a user sees: a job's own, or the check that did not hold."""
    if isinstance(error.__cause__, UserError):
        return error.__cause__
    if not isinstance(error, dg.DagsterError):
        return error
    locator = Locator(project, current_drops(instance))
    for asset in group.assets:
        place = _place(locator, asset, group.partition)
        if place is None or place.manifest is None:
            return error
        if found := _failed_check(place, project):
            return found
    return error


def _failed_check(place: Place, project: Project) -> UserError | None:
    """The first check of a finished output that does not hold."""
    assert place.manifest is not None
    for check, verdict in run_checks(place, place.manifest, project):
        if not verdict.passed:
            mend = f"Look at {place.folder}; correct the recipe or the data, then run again"
            where = describe(place.asset.key, place.partition)
            return UserError(f"check {check.name} failed: {verdict.why}", where, mend)
    return None
