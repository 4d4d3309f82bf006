"""Group `sources`: raw data, which we list and never change."""

from __future__ import annotations

import dagster as dg

from assets.locate import current_drops
from assets.metadata import manifest_metadata
from assets.partitions import DROPS, Drops
from assets.project import Project
from infra.document import Family
from infra.manifest import Manifest, read_manifest
from jobs.recipe import Recipe
from jobs.sources.discover import discover, raw_asset, raw_output

_WORDS: dict[Family, str] = {
    "t2i": "Pictures with captions",
    "understanding": "Dialogues about pictures",
    "edit": "Pictures before and after an edit, with its instruction,",
    "subject": "Pictures in the groups they appeared in",
    "video": "Videos",
    "text": "Texts",
}


def raw_assets(recipe: Recipe) -> list[dg.AssetSpec]:
    """The raw data of every source of a recipe."""
    return [
        dg.AssetSpec(
            raw_key(family),
            group_name="sources",
            partitions_def=DROPS[family],
            description=f"{_WORDS[family]} as the source has them, listed in drops. Nothing is copied.",
            kinds={"source"},
        )
        for family in recipe.sources.given()
    ]


def raw_key(family: Family) -> dg.AssetKey:
    """Dagster's key of a family's raw data."""
    return dg.AssetKey(raw_asset(family).split("/"))


def report_drops(project: Project, instance: dg.DagsterInstance) -> Drops:
    """Discover the drops of all sources and tell Dagster what is new, changed or gone; return the drops.

    Raises:
        UserError: a source has nothing to read, or cannot be reached.
    """
    found = discover(project.recipe, project.home)
    known = current_drops(instance)
    for family, definition in DROPS.items():
        drops = found.get(family, [])
        name = str(definition.name)
        instance.add_dynamic_partitions(name, [drop for drop in drops if drop not in known[family]])
        for drop in set(known[family]) - set(drops):
            instance.delete_dynamic_partition(name, drop)
        for drop in drops:
            _report(project, instance, family, drop)
    return current_drops(instance)


def _report(project: Project, instance: dg.DagsterInstance, family: Family, drop: str) -> None:
    """Tell Dagster of a drop whose listing it does not know."""
    folder = raw_output(project.recipe, project.home, family, drop)
    manifest = read_manifest(folder)
    if _known_version(instance, family, drop) != manifest.hash:
        instance.report_runless_asset_event(_event(family, drop, folder, manifest))


def _known_version(instance: dg.DagsterInstance, family: Family, drop: str) -> str | None:
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=raw_key(family), asset_partitions=[drop]), limit=1
    ).records
    event = found[0].asset_materialization if found else None
    return (event.tags or {}).get("dagster/data_version") if event else None


def _event(family: Family, drop: str, folder: str, manifest: Manifest) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        raw_key(family),
        partition=drop,
        metadata=manifest_metadata(folder, manifest),
        tags={"dagster/data_version": manifest.hash},
    )
