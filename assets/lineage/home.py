"""The finished outputs of a home, as far as lineage looks at them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assets.lineage.match import Condition, Row, matching
from assets.locate import Place, raw_family
from infra import storage

CATALOGUE = "data/catalogue"


@dataclass(frozen=True)
class Home:
    """Outputs whose manifests are published, inputs first."""

    places: Sequence[Place]

    @property
    def curated(self) -> list[Place]:
        """Stages of curation."""
        return [place for place in self.places if place.asset.group.startswith("curation_")]

    def made(self, group: str) -> list[Place]:
        """Outputs of a group of assets."""
        return [place for place in self.places if place.asset.group == group]

    def reading(self, group: str, folders: Sequence[str]) -> list[Place]:
        """Outputs of a group that are made from one of these folders."""
        wanted = set(folders)
        return [place for place in self.made(group) if wanted & set(input_folders(place))]


def finished(places: Sequence[Place]) -> Home:
    """Those of the places that are published."""
    return Home([place for place in places if place.manifest is not None])


def input_folders(place: Place) -> list[str]:
    """Folders that an output is made from."""
    return [folder for folders in place.inputs.values() for folder in folders]


def is_first(place: Place) -> bool:
    """Whether a stage reads the records of a source itself."""
    return any(raw_family(key) is not None for key in place.asset.inputs)


def catalogue_rows(
    place: Place, conditions: Mapping[str, Condition], columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """Rows of an output's catalogue that pass a condition, without those carried on from stages before."""
    own = place.asset.key.rpartition("/")[2]
    for path in files(place, CATALOGUE):
        for row in matching(storage.join(place.folder, path), conditions, columns):
            if row.get("stage") in (None, own):
                yield row


def files(place: Place, prefix: str) -> list[str]:
    """Paths of an output's files whose names begin so, relative to its folder, in order."""
    assert place.manifest is not None
    return [path for path in place.manifest.paths(".parquet") if path.startswith(prefix)]


def output_folders(home: str, area: str) -> dict[str, list[str]]:
    """Paths of the files of every output of an area, finished or not, by folder.

    Args:
        home: where the area is.
        area: such as `packs`, with a folder for each stage and in it one for each fingerprint. Files that
            lie beside these are passed over.
    """
    root = storage.join(home, area)
    found: dict[str, list[str]] = defaultdict(list)
    for file in storage.list_files(root):
        name, *rest = file.uri[len(root) + 1 :].split("/", 2)
        if len(rest) == 2:
            found[storage.join(root, name, rest[0])].append(rest[1])
    return dict(found)


def figures(place: Place) -> dict[str, Any]:
    """What an output's manifest tells beside its files."""
    assert place.manifest is not None
    return place.manifest.metadata
