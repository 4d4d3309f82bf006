"""Documents of tokens and packs of documents, by number, from the Parquet files of finished outputs.

A reader holds no position: a number says it all, so that whoever reads on keeps one integer.

    reader = PackReader([folder])
    for state, documents in read_on(reader, state):
        ...  # keep `state`: with it, reading goes on behind these documents
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Protocol, TypeVar

import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.schemas import DocumentTokens, check_format, from_row, read_schedules
from model.scales import ScaleSchedule

HELD_GROUPS = 64
"""Row groups kept decoded; of packs of 18,000 tokens that is about 100 MB."""

Item = TypeVar("Item", covariant=True)


class Reader(Protocol[Item]):
    """Items by number, from 0."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Item: ...


def read_on(reader: Reader[Item], state: int = 0) -> Iterator[tuple[int, Item]]:
    """Each item from number `state` on, with the state that goes on behind it."""
    for number in range(state, len(reader)):
        yield number + 1, reader[number]


class DocumentReader:
    """The documents of finished `tokens/<name>` outputs, numbered in the order of their files."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._rows = _Rows(folders, "data/", None)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> DocumentTokens:
        """A document.

        Raises:
            IndexError: there is no such document.
            UserError: the file is gone, of another format, or not what was written.
        """
        with damage_named(f"document {number}", self._rows.file(number)):
            return from_row(self._rows[number])

    def schedules(self) -> dict[str, ScaleSchedule]:
        """The schedules of all images, by name."""
        return self._rows.schedules()


class PackReader:
    """The packs of finished `packs/<stage>` outputs, numbered in the order of their files."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._rows = _Rows(folders, "data/packs-", ["documents"])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> list[DocumentTokens]:
        """The documents of a pack, in their order.

        Raises:
            IndexError: there is no such pack.
            UserError: the file is gone, of another format, or not what the packing wrote.
        """
        with damage_named(f"pack {number}", self._rows.file(number)):
            return [from_row(document) for document in self._rows[number]["documents"]]

    def schedules(self) -> dict[str, ScaleSchedule]:
        """The schedules of all images, by name."""
        return self._rows.schedules()


class _Rows:
    """Rows of Parquet files by number; the row groups read last stay in memory."""

    def __init__(self, folders: Sequence[str], prefix: str, columns: list[str] | None) -> None:
        entries = [
            (storage.join(folder, entry.path), entry.rows)
            for folder in folders
            for entry in read_manifest(folder).files
            if entry.path.startswith(prefix) and "catalogue" not in entry.path
        ]
        self._files = [uri for uri, _ in entries]
        self._ends = list(accumulate(rows for _, rows in entries))
        self._columns = columns
        self._footers: dict[int, pq.FileMetaData] = {}
        self._held: OrderedDict[tuple[int, int], list[dict[str, Any]]] = OrderedDict()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def file(self, number: int) -> str:
        """The URI of a row's file."""
        if not 0 <= number < len(self):
            raise IndexError(f"{number} of {len(self)} rows")
        return self._files[bisect_right(self._ends, number)]

    def __getitem__(self, number: int) -> dict[str, Any]:
        file = bisect_right(self._ends, number)
        row = number - (self._ends[file - 1] if file else 0)
        group = 0
        while row >= (rows := self._footer(file).row_group(group).num_rows):
            row, group = row - rows, group + 1
        return self._group(file, group)[row]

    def schedules(self) -> dict[str, ScaleSchedule]:
        found: dict[str, ScaleSchedule] = {}
        for file, uri in enumerate(self._files):
            with damage_named("the file", uri):
                found |= read_schedules(self._footer(file).schema.to_arrow_schema())
        return found

    def _footer(self, file: int) -> pq.FileMetaData:
        if file not in self._footers:
            with storage.open_input(self._files[file]) as stream:
                footer = pq.read_metadata(stream)
            check_format(footer.schema.to_arrow_schema(), self._files[file])
            self._footers[file] = footer
        return self._footers[file]

    def _group(self, file: int, group: int) -> list[dict[str, Any]]:
        key = (file, group)
        if key not in self._held:
            with storage.open_input(self._files[file]) as stream:
                parquet = pq.ParquetFile(stream, metadata=self._footer(file))
                self._held[key] = parquet.read_row_group(group, columns=self._columns).to_pylist()
            if len(self._held) > HELD_GROUPS:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]


@contextmanager
def damage_named(what: str, file: str) -> Iterator[None]:
    """What was written is not what is read: one line.

    Raises:
        UserError: names the file; trouble of the storage itself is passed on.
    """
    try:
        yield
    except (ValueError, OSError, LookupError) as error:
        if getattr(error, "errno", None) is not None:  # of the storage, and not Arrow's of the content
            raise
        raise UserError(f"{what} is damaged ({error})", file, "Remove its folder and run again") from error
