"""ShareGPT-4o-Image: edits in `text_and_image_to_image.json`, pictures beside it, unpacked or in tars.

The file is an array of `{"input_prompt": .., "input_image": ["image/v2v_0.png"], "output_image": ..}`. The
tars (`text_and_image_to_image_part_0.tar`) have members such as `image/v2v_0.png` and are read where they
lie: a listing goes over their headers. On an object store, unpack them first.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from infra import storage
from infra.storage import FileInfo
from jobs.recipe.sources import ShareGpt4oSource
from jobs.sources import PICTURE_SUFFIXES, EditRecord, is_text
from jobs.sources.edit_files import (
    Entry,
    below,
    by_path,
    cut,
    json_entries,
    leaves,
    member,
    read_entries,
    relative,
)
from jobs.sources.json_array import Element
from jobs.sources.shards import Shard
from jobs.sources.tars import iter_headers, open_tar

WANTED = "text_and_image_to_image.json"


def list_shards(source: ShareGpt4oSource, files: Sequence[FileInfo]) -> list[Shard]:
    """Cut every such JSON file below the source into shards."""
    indexes = [file for file in files if PurePosixPath(file.uri).name == WANTED]
    inside = [file for file in files if file.uri.endswith(".tar") and not leaves(source.uri, file)]
    packed = [one for tar in inside for one in _members(tar)] if indexes else []
    known = by_path(source.uri, packed) | by_path(source.uri, files)
    shards = [
        shard
        for index in indexes
        if not leaves(source.uri, index)
        for shard in cut(_entries(source, index, 0), (index,), known, source.shard_records)
    ]
    return [replace(shard, name=f"{number:06d}") for number, shard in enumerate(shards)]


def read(
    source: ShareGpt4oSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[EditRecord]:
    """The records of a shard. Damage of the JSON file is one `not_json` record that ends it."""
    entries = _entries(source, shard.files[0], shard.start)
    yield from read_entries(source.uri, shard, entries, max_bytes, wanted)


def _entries(source: ShareGpt4oSource, json: FileInfo, start: int) -> Iterator[Entry]:
    path = relative(source.uri, json)
    make = partial(_entry, folder=str(path.parent), subset=str(path.with_suffix("")))
    return json_entries(json, start, make)


def _entry(element: Element, place: str, folder: str, subset: str) -> Entry:
    entry = Entry(element.offset, place, subset=subset)
    record = element.value
    if not isinstance(record, dict):
        return replace(entry, reason="bad_record", detail=f"{type(record).__name__} instead of an object")
    inputs, output = record.get("input_image"), record.get("output_image")
    if not isinstance(inputs, list) or not inputs:
        return replace(entry, reason="bad_record", detail="no list of pictures in input_image")
    try:
        pictures = tuple(below(folder, picture) for picture in (*inputs, output))
    except ValueError as error:
        return replace(entry, reason="bad_path", detail=str(error))
    prompt = record.get("input_prompt")
    return replace(entry, pictures=pictures, instruction=prompt if is_text(prompt) else None)


def _members(tar: FileInfo) -> Iterator[FileInfo]:
    """The pictures in a tar, by their place in it. Those before a damage are given."""
    try:
        with storage.open_input(tar.uri) as stream, open_tar(stream, "r:") as archive:
            for header in iter_headers(archive):
                name = _name(header)
                if name is not None:
                    yield member(tar, name, header.offset_data, header.size)
    except tarfile.TarError:
        return  # what is not found then is `no_file`, record by record


def _name(header: tarfile.TarInfo) -> str | None:
    if not header.isreg() or PurePosixPath(header.name).suffix[1:].lower() not in PICTURE_SUFFIXES:
        return None
    try:
        return below(header.name)
    except ValueError:
        return None
