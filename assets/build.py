"""From a JobAsset to Dagster: reuse a finished output or run the job, then check and show it.

No postponed annotations here: Dagster reads the type of a step's `context` when it is defined.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from assets.checks import Check, Published, Verdict
from assets.graph import job_assets
from assets.job_asset import JobAsset
from assets.locate import Place, current_drops, describe, input_partitioning, locate
from assets.metadata import output_metadata
from assets.partitions import dagster_mapping, partitions_of
from assets.pools import pool_of
from assets.project import Project
from assets.reporter import DagsterReporter
from assets.sources import raw_assets
from infra import storage
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest
from infra.reporter import Reporter, SilentReporter

CHECKS_TAG = "nextscale/checks"
"""Tag of a materialization: `passed` or `failed`."""

REUSED = "reused"
"""Metadata of a materialization: the output was finished already, nothing ran."""


def build_assets(project: Project) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Every asset of a project's recipe, the raw data included."""
    made = (build_asset(asset, project) for asset in job_assets(project.recipe))
    return [*raw_assets(project.recipe), *made]


def build_asset(asset: JobAsset, project: Project) -> dg.AssetsDefinition:
    """One asset. Its step runs the job through the recipe's launcher."""
    assets = {other.key: other for other in job_assets(project.recipe)}
    deps = [
        dg.AssetDep(asset_key(key), partition_mapping=_mapping(asset, key, assets)) for key in asset.inputs
    ]

    @dg.asset(
        key=asset_key(asset.key),
        deps=deps,
        group_name=asset.group,
        description=asset.description,
        partitions_def=partitions_of(asset.partitioning, asset.family, asset.levels),
        check_specs=[_check_spec(asset, check) for check in asset.checks],
        code_version=asset.code_version(project.recipe),
        metadata={"job": asset.job, "recipe": project.recipe.name},
        kinds={"ray"},
        pool=pool_of(asset),
    )
    def compute(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        try:
            yield _materialize(asset, project, context)
        except UserError as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    return compute


def _mapping(asset: JobAsset, key: str, assets: Mapping[str, JobAsset]) -> dg.PartitionMapping | None:
    """How the partitions of an asset and of an input lie to each other."""
    partitioning, family = input_partitioning(key, assets)
    return dagster_mapping(asset.partitioning if family == asset.family else "none", partitioning)


def asset_key(key: str) -> dg.AssetKey:
    """Dagster's key of an asset of ours."""
    return dg.AssetKey(key.split("/"))


def run_checks(place: Place, manifest: Manifest, project: Project) -> list[tuple[Check, Verdict]]:
    """Every check of an output with its verdict."""
    settings = place.asset.settings(project.recipe, place.partition)
    published = Published(place.folder, manifest, place.inputs, settings, place.asset.records_from)
    return [(check, check.run(published)) for check in place.asset.checks]


def _materialize(
    asset: JobAsset, project: Project, context: dg.AssetExecutionContext
) -> dg.MaterializeResult[None]:
    partition = str(context.partition_key) if context.has_partition_key else None
    place = locate(project, current_drops(context.instance), asset.key, partition)
    reused = place.manifest is not None
    manifest = place.manifest or _run(place, project, context)
    verdicts = run_checks(place, manifest, project)
    passed = all(verdict.passed for _, verdict in verdicts)
    return dg.MaterializeResult(
        metadata=output_metadata(place.folder, manifest) | {REUSED: reused},
        data_version=dg.DataVersion(manifest.hash),
        tags={CHECKS_TAG: "passed" if passed else "failed"},
        check_results=[_check_result(check, verdict) for check, verdict in verdicts],
    )


def _run(place: Place, project: Project, context: dg.AssetExecutionContext) -> Manifest:
    watch: Reporter = SilentReporter()
    if project.watch is not None:
        watch = project.watch(place.asset.key, place.partition)
    report = DagsterReporter(context, watch)
    spec = JobSpec(
        asset=place.asset.key,
        partition=place.partition,
        fingerprint=place.fingerprint,
        seed=project.recipe.seed,
        inputs=place.inputs,
        output=place.folder,
        cache=storage.join(project.home, "cache"),
        settings=place.asset.settings(project.recipe, place.partition),
        resources=place.asset.resources(project.recipe),
    )
    context.log.info(f"{describe(place.asset.key, place.partition)} into {place.folder}")
    try:
        return project.launcher.run(place.asset.job, spec, report)
    finally:
        report.close()


def _check_spec(asset: JobAsset, check: Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        check.name, asset=asset_key(asset.key), description=check.description, blocking=True
    )


def _check_result(check: Check, verdict: Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=check.name,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=verdict.why,
        metadata=verdict.figures,
    )
