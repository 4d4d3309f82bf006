"""Where a pack is among the files of a packing.

Packs are stored by number, but numbers may be missing: a pack that lost every document is not stored, so that
no other has to change its number.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.lineage.home import CATALOGUE, files
from assets.lineage.match import Among, matching
from assets.locate import Place
from infra import storage
from infra.manifest import Manifest, read_table

PREFIX = "data/packs-"
_IDS = "documents.list.element.sample_id"
_BATCH = 256


@dataclass(frozen=True)
class PackPlace:
    """Where a pack is: its file, and its row there, which counts from 0."""

    number: int
    file: str
    row: int


class PackFiles:
    """Finds packs by number; reads the numbers of a file once."""

    def __init__(self, place: Place) -> None:
        self._folder = place.folder
        self._files = files(place, PREFIX)
        self._numbers: dict[str, list[int]] = {}

    def find(self, number: int) -> PackPlace | None:
        """Where a pack is; None where there is no such pack."""
        at = bisect_right(self._files, number, key=lambda path: self._read(path)[0]) - 1
        if at < 0 or number not in (held := self._read(self._files[at])):
            return None
        return PackPlace(number, self._files[at], held.index(number))

    def _read(self, path: str) -> list[int]:
        if path not in self._numbers:
            table = read_table(storage.join(self._folder, path), ["pack"])
            self._numbers[path] = table["pack"].to_pylist()
        return self._numbers[path]


def packed_among(folder: str, manifest: Manifest, ids: Collection[int]) -> set[int]:
    """Which of the samples a finished packing holds, by its catalogue."""
    wanted, columns = {"sample_id": Among(ids)}, ["sample_id", "status"]
    uris = [storage.join(folder, path) for path in manifest.paths(".parquet") if path.startswith(CATALOGUE)]
    rows = (row for uri in uris for row in matching(uri, wanted, columns))
    return {row["sample_id"] for row in rows if row["status"] == "kept"}


def holds_one(folder: str, paths: Sequence[str], ids: Collection[int]) -> bool:
    """Whether packs of some files hold one of the samples; some packs in memory at a time."""
    wanted = pa.array(ids, pa.uint64())
    uris = (storage.join(folder, path) for path in paths if path.startswith(PREFIX))
    return any(pc.any(pc.is_in(held, wanted)).as_py() for uri in uris for held in _ids_in(uri))


def _ids_in(uri: str) -> Iterator[pa.Array]:
    with storage.open_input(uri) as stream:
        for batch in pq.ParquetFile(stream).iter_batches(_BATCH, columns=[_IDS], use_threads=False):
            yield pc.list_flatten(batch["documents"]).field("sample_id")
