"""Nothing is lost between stages: what goes into one is what the one before kept, over all drops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from infra.manifest import read_manifest
from pipelines.cli.console import title

if TYPE_CHECKING:
    from assets.locate import Place

DATA_GROUPS = frozenset({"curation", "tokens", "packing"})
"""Groups whose assets account for every record of the asset they read; the others read as they like."""


def broken_links(places: Iterable[Place]) -> list[str]:
    """One line for each finished place whose records are not those that its input kept.

    That in = kept + rejected + errored within a stage is held by `Counts` when a manifest is read.
    """
    return [line for place in places if place.asset.group in DATA_GROUPS for line in _broken(place)]


def _broken(place: Place) -> list[str]:
    manifest = place.manifest
    source = next((name for name in place.inputs if name in DATA_INPUTS), None)
    if manifest is None or source is None:
        return []
    kept = sum(read_manifest(folder).counts.kept for folder in place.inputs[source])
    name = title(place.asset.key, place.partition)
    if manifest.counts.total == kept:
        return []
    return [f"{name}: {manifest.counts.total} records went in, {source} kept {kept}"]


DATA_INPUTS = ("t2i/filtered", "t2i/topics", "t2i/balanced", "t2i/captioned", "tokens/t2i")
"""Assets that hand records on. What goes into `t2i/filtered` is counted by the sources themselves."""
