"""UniWorld-V1: `data.txt` says which JSON files there are, and below which folder each has its pictures.

    data/imgedit/add/add_part0,json/imgedit/laion_add_part0_edit.json,true

A JSON file is an array of `{"image": [..], "conversations": [{"from": "human", "value": ..}, ..]}` and one
subset. Where the last answer is a picture (`<gen_image>`), that picture is the last of `image`, and those
before are what the edit starts from; other records are no edits. All paths are below the source's folder.
The third column tells UniWorld's training how to weigh pixels; nothing here depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from infra import storage
from infra.errors import UserError
from infra.storage import FileInfo
from jobs.recipe.sources import UniWorldSource
from jobs.sources import EditRecord, is_text
from jobs.sources.edit_files import (
    Entry,
    below,
    by_path,
    cut,
    json_entries,
    leaves,
    read_entries,
    relative,
)
from jobs.sources.json_array import Element
from jobs.sources.shards import Shard

WANTED = "data.txt"

MAX_INDEX_BYTES = 1 << 20
"""A longer `data.txt` is refused."""

_MARK = "<image>"
_ANSWER = ("<gen_image>", _MARK)
_TASKS = {
    "add": "add",
    "remove": "remove",
    "replace": "replace",
    "background": "background",
    "style": "style",
    "transfer": "style",
}
"""Words in the names of the JSON files that say which kind of edit a subset holds."""


@dataclass(frozen=True)
class _Subset:
    """A line of `data.txt`: where the pictures are, and the JSON file, below the source."""

    pictures: str
    json: str


def list_shards(source: UniWorldSource, files: Sequence[FileInfo]) -> list[Shard]:
    """Cut every JSON file that `data.txt` names into shards.

    Raises:
        UserError: `data.txt` has a line that cannot be used, or names a file that is not there.
    """
    known = by_path(source.uri, files)
    if WANTED not in known:
        return []
    index = known[WANTED]
    shards: list[Shard] = []
    for subset in _subsets(index):
        if subset.json not in known or leaves(source.uri, known[subset.json]):
            raise UserError(f"{subset.json} is not in the source's folder", index.uri, "Correct its line")
        entries = _entries(known[subset.json], subset, 0)
        shards += cut(entries, (index, known[subset.json]), known, source.shard_records)
    return [replace(shard, name=f"{number:06d}") for number, shard in enumerate(shards)]


def read(
    source: UniWorldSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[EditRecord]:
    """The records of a shard. Damage of a JSON file is one `not_json` record that ends it."""
    index, json = shard.files[:2]
    path = str(relative(source.uri, json))
    subset = next((one for one in _subsets(index) if one.json == path), None)
    if subset is None:
        raise UserError(f"{path} is no longer named", index.uri, "Run again: it will be listed anew")
    yield from read_entries(source.uri, shard, _entries(json, subset, shard.start), max_bytes, wanted)


def _subsets(index: FileInfo) -> list[_Subset]:
    """The lines of `data.txt`."""
    text = storage.read_bytes(index.uri, MAX_INDEX_BYTES).decode("utf-8-sig", "replace")
    subsets: dict[str, _Subset] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{index.uri}, line {number}"
        subset = _subset(line, where)
        if subset.json in subsets:
            raise UserError(f"{subset.json} is named a second time", where, "Name each JSON file once")
        subsets[subset.json] = subset
    return list(subsets.values())


def _subset(line: str, where: str) -> _Subset:
    columns = [column.strip() for column in line.split(",")]
    if len(columns) != 3:
        raise UserError(f"{len(columns)} columns instead of image_root,json,need_weight", where)
    try:
        return _Subset(below(columns[0]), below(columns[1]))
    except ValueError as error:
        mend = "Name folders and files as they lie below the source's folder"
        raise UserError(str(error), where, mend) from error


def _entries(json: FileInfo, subset: _Subset, start: int) -> Iterator[Entry]:
    name = PurePosixPath(subset.json).with_suffix("")
    found = (_TASKS.get(word) for word in re.split(r"[^a-z]+", name.name.lower()))
    task = next((one for one in found if one), None)
    return json_entries(json, start, partial(_entry, folder=subset.pictures, subset=str(name), task=task))


def _entry(element: Element, place: str, folder: str, subset: str, task: str | None) -> Entry:
    entry = Entry(element.offset, place, subset=subset, task=task)
    try:
        images, turns = _images(element.value), _turns(element.value)
        if len(images) < 2 or not turns or turns[-1][0] != "gpt" or not _is_picture(turns[-1][1]):
            detail = f"{len(images)} pictures, and the last answer is "
            detail += "a picture" if turns and _is_picture(turns[-1][1]) else "no picture"
            return replace(entry, reason="not_an_edit", detail=detail)
        instruction = next((text for speaker, text in reversed(turns) if speaker == "human"), "")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return replace(entry, reason="bad_record", detail=f"{type(error).__name__}: {error}"[:200])
    try:
        pictures = tuple(below(folder, image) for image in images)
    except ValueError as error:
        return replace(entry, reason="bad_path", detail=str(error))
    return replace(entry, pictures=pictures, instruction=_instruction(instruction))


def _images(record: Any) -> list[Any]:
    images = record.get("image", [])
    return images if isinstance(images, list) else [images]


def _turns(record: Any) -> list[tuple[str, str]]:
    turns = [(turn["from"], turn["value"]) for turn in record["conversations"]]
    if not all(is_text(part) for turn in turns for part in turn):
        raise ValueError("a turn is no text")
    return turns


def _is_picture(text: str) -> bool:
    return any(mark in text for mark in _ANSWER)


def _instruction(text: str) -> str:
    """The words of an instruction. Marks before and after them go; those among them become `picture 1`."""
    parts = [" ".join(part.split()) for part in text.split(_MARK)]
    spoken = [number for number, part in enumerate(parts) if part]
    if len(spoken) < 2:
        return "".join(parts)
    first = spoken[0]
    words = [f"picture {number} {parts[number]}" for number in range(first + 1, len(parts))]
    return " ".join([parts[first], *words]).strip()
