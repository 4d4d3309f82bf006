"""Group `sources`: raw data, which we list and never change."""

from __future__ import annotations

import dagster as dg

from assets.locate import current_drops
from assets.metadata import manifest_metadata
from assets.partitions import DROPS
from assets.project import Project
from infra.manifest import Manifest, read_manifest
from jobs.sources.discover import ASSET, discover, raw_output

RAW_KEY = dg.AssetKey(ASSET.split("/"))

RAW_T2I = dg.AssetSpec(
    RAW_KEY,
    group_name="sources",
    partitions_def=DROPS,
    description="Pictures with captions as the source has them, listed in drops. Nothing is copied.",
    kinds={"source"},
)


def report_drops(project: Project, instance: dg.DagsterInstance) -> list[str]:
    """Discover the source's drops and tell Dagster what is new, changed or gone; return the drops.

    Raises:
        UserError: the source has nothing to read, or cannot be reached.
    """
    drops = discover(project.recipe, project.home)
    known = current_drops(instance)
    instance.add_dynamic_partitions(str(DROPS.name), [drop for drop in drops if drop not in known])
    for drop in set(known) - set(drops):
        instance.delete_dynamic_partition(str(DROPS.name), drop)
    for drop in drops:
        folder = raw_output(project.recipe, project.home, drop)
        manifest = read_manifest(folder)
        if _known_version(instance, drop) != manifest.hash:
            instance.report_runless_asset_event(_event(drop, folder, manifest))
    return drops


def _known_version(instance: dg.DagsterInstance, drop: str) -> str | None:
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=RAW_KEY, asset_partitions=[drop]), limit=1
    ).records
    event = found[0].asset_materialization if found else None
    return (event.tags or {}).get("dagster/data_version") if event else None


def _event(drop: str, folder: str, manifest: Manifest) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        RAW_KEY,
        partition=drop,
        metadata=manifest_metadata(folder, manifest),
        tags={"dagster/data_version": manifest.hash},
    )
