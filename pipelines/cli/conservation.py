"""Nothing is lost between stages: what goes into one is what the one before kept, over all drops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from infra.manifest import read_manifest
from pipelines.cli.console import title

if TYPE_CHECKING:
    from assets.locate import Place


def broken_links(places: Iterable[Place]) -> list[str]:
    """One line for each finished place whose records are not those that its input kept.

    That in = kept + rejected + errored within a stage is held by `Counts` when a manifest is read.
    """
    return [line for place in places for line in _broken(place)]


def _broken(place: Place) -> list[str]:
    manifest, sources = place.manifest, place.asset.records_from
    if manifest is None or not sources:
        return []
    kept = sum(read_manifest(folder).counts.kept for source in sources for folder in place.inputs[source])
    name = title(place.asset.key, place.partition)
    if manifest.counts.total == kept:
        return []
    return [f"{name}: {manifest.counts.total} records went in, {' and '.join(sources)} kept {kept}"]
