"""RealEdit: CSV files with `input_image_name`, `instruction` and `output_image_name`, pictures beside them.

Requests have one to five edited pictures, each an edit of its own: names in a cell are separated by `|`, or
are a list as JSON and Python write it. The columns `orig_img` and `edit_images`, which RealEdit's own
curation writes, mean the same. A name is a path from the CSV's folder on, or from `image_folder` of the
source. Each CSV file (`train`, `test`) is a subset.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from infra import storage
from infra.errors import UserError
from infra.storage import FileInfo
from jobs.recipe.sources import RealEditSource
from jobs.sources import EditRecord, is_text
from jobs.sources.edit_files import Entry, below, by_path, cut, leaves, read_entries, relative
from jobs.sources.shards import Shard

WANTED = ".csv files"

INPUTS = ("input_image_name", "orig_img")
OUTPUTS = ("output_image_name", "edit_images")

Row = Mapping[str, str | None]

_QUOTED = re.compile(r""""([^"]+)"|'([^']+)'""")


def list_shards(source: RealEditSource, files: Sequence[FileInfo]) -> list[Shard]:
    """Cut every CSV file into shards.

    Raises:
        UserError: a CSV file lacks a column.
    """
    known = by_path(source.uri, files)
    shards = [
        shard
        for index in files
        if index.uri.endswith(".csv") and not leaves(source.uri, index)
        for shard in cut(_entries(source, index, 0), (index,), known, source.shard_records)
    ]
    return [replace(shard, name=f"{number:06d}") for number, shard in enumerate(shards)]


def read(
    source: RealEditSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[EditRecord]:
    """The records of a shard. Damage of a CSV file is one `not_csv` record that ends it."""
    entries = _entries(source, shard.files[0], shard.start)
    yield from read_entries(source.uri, shard, entries, max_bytes, wanted)


def _entries(source: RealEditSource, index: FileInfo, start: int) -> Iterator[Entry]:
    """The records of a CSV file, from row `start` on."""
    path = relative(source.uri, index)
    folder = source.image_folder or str(path.parent)
    number = 0
    with storage.open_input(index.uri) as stream:
        # Bytes that are no UTF-8 become lone surrogates, which are no text.
        rows = csv.DictReader(io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline=""))
        try:
            columns = _columns(index, rows.fieldnames or [])
            for number, row in enumerate(rows):
                if number >= start:
                    entry = Entry(number, f"{index.uri}#{number:09d}", subset=str(path.with_suffix("")))
                    yield from _row(entry, row, columns, folder)
        except csv.Error as error:
            place = f"{index.uri}#{number:09d} damaged"
            yield Entry(number, place, reason="not_csv", detail=f"{error}, after row {number}")


def _columns(index: FileInfo, found: Sequence[str]) -> tuple[str, str]:
    """The columns of the picture before and of those after."""
    before = next((name for name in INPUTS if name in found), None)
    after = next((name for name in OUTPUTS if name in found), None)
    if before is None or after is None or "instruction" not in found:
        wanted = f"{' or '.join(INPUTS)}, instruction, {' or '.join(OUTPUTS)}"
        columns = ", ".join(map(ascii, found))[:200]
        raise UserError(f"its columns are {columns}", index.uri, f"It needs {wanted}")
    return before, after


def _row(entry: Entry, row: Row, columns: tuple[str, str], folder: str) -> Iterator[Entry]:
    """One entry for each edited picture of a request."""
    before, after = (row.get(column) or "" for column in columns)
    text = row.get("instruction")
    outputs = _names(after)
    if not outputs:
        yield replace(entry, reason="no_output", detail=f"nothing in {columns[1]}")
    for which, output in enumerate(outputs):
        one = replace(entry, place=f"{entry.place}.{which}", instruction=text if is_text(text) else None)
        try:
            yield replace(one, pictures=(below(folder, before), below(folder, output)))
        except ValueError as error:
            yield replace(one, reason="bad_path", detail=str(error))


def _names(cell: str) -> list[str]:
    """The names in a cell: a list in brackets, or names between bars."""
    if cell.lstrip().startswith("["):
        return [double or single for double, single in _QUOTED.findall(cell)]
    return [name.strip() for name in cell.split("|") if name.strip()]
