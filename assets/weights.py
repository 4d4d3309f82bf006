"""Weights that settings name by a local path, which stays when its files do not: their versions count too.

Nothing is read but names, sizes and times of change, as for sources. What has a name on a hub has no version.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from infra.manifest import digest
from jobs.recipe.section import Weights

_LOCAL = "local-dir:"


def weight_versions(settings: BaseModel) -> dict[str, str]:
    """The version of each place on the disk that settings name, sections in them included."""
    found = {name: _version(Path(name.removeprefix(_LOCAL)).expanduser()) for name in _named(settings)}
    return {name: version for name, version in found.items() if version is not None}


def _named(section: BaseModel) -> Iterator[str]:
    """Every setting that is marked as `Weights`."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _named(value)
        elif value is not None and Weights() in field.metadata:
            yield str(value)


def _version(place: Path) -> str | None:
    """What changes when a file at a place is written anew; None where there is nothing."""
    if not place.exists():
        return None
    files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
    stats = [(file.relative_to(place).as_posix(), file.stat()) for file in files]
    return digest([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])[:16]
