"""Reading packs by number from the Parquet files of a packing, a row group at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import Any

import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.schemas import DocumentTokens, from_row, read_schedules
from model.scales import ScaleSchedule

HELD_GROUPS = 64
"""Row groups kept decoded; of packs of 18,000 tokens that is about 100 MB."""

_Group = tuple[int, int]


class PackReader:
    """The packs of finished packings, numbered in the order of their files."""

    def __init__(self, folders: list[str]) -> None:
        entries = [
            (storage.join(folder, entry.path), entry.rows)
            for folder in folders
            for entry in read_manifest(folder).files
            if entry.path.startswith("data/packs-")
        ]
        self._files = [uri for uri, _ in entries]
        self._ends = list(accumulate(rows for _, rows in entries))
        self._footers: dict[int, pq.FileMetaData] = {}
        self._held: OrderedDict[_Group, list[dict[str, Any]]] = OrderedDict()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def documents(self, pack: int) -> list[DocumentTokens]:
        """The documents of a pack, in their order.

        Raises:
            UserError: the file is gone or is not what the packing wrote.
        """
        file = bisect_right(self._ends, pack)
        row = pack - (self._ends[file - 1] if file else 0)
        group = 0
        while row >= (rows := self._footer(file).row_group(group).num_rows):
            row, group = row - rows, group + 1
        try:
            return [from_row(document) for document in self._rows((file, group))[row]["documents"]]
        except ValueError as error:
            raise UserError(f"pack {pack} is damaged ({error})", self._files[file], "Pack again") from error

    def schedules(self) -> dict[str, ScaleSchedule]:
        """The schedules of all images, by name."""
        found: dict[str, ScaleSchedule] = {}
        for file in range(len(self._files)):
            found |= read_schedules(self._footer(file).schema.to_arrow_schema())
        return found

    def _footer(self, file: int) -> pq.FileMetaData:
        if file not in self._footers:
            with storage.open_input(self._files[file]) as stream:
                self._footers[file] = pq.read_metadata(stream)
        return self._footers[file]

    def _rows(self, key: _Group) -> list[dict[str, Any]]:
        if key not in self._held:
            file, group = key
            with storage.open_input(self._files[file]) as stream:
                table = pq.ParquetFile(stream, metadata=self._footer(file)).read_row_group(
                    group, columns=["documents"]
                )
            self._held[key] = table.to_pylist()
            if len(self._held) > HELD_GROUPS:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]
