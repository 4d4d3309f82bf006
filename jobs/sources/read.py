"""List the shards of a source and read their records, whatever kind of source it is.

Every kind has a module here with `list_shards(source, files)` and `read(source, shard, max_bytes, wanted)`,
and `WANTED`, the words for what it looks for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar, cast

from infra.storage import FileInfo
from jobs.recipe import sources as kinds
from jobs.recipe.sources import Mix, OneSource, Source
from jobs.sources import AnyRecord, DialogueRecord, EditRecord, Record, TextRecord
from jobs.sources.shards import Shard

_MODULES: dict[type[Any], str] = {
    kinds.FolderSource: "folder",
    kinds.WebDatasetSource: "webdataset",
    kinds.ParquetSource: "parquet",
    kinds.ScenesSource: "scenes",
    kinds.SceneEditsSource: "scene_edits",
    kinds.UniWorldSource: "uniworld",
    kinds.RealEditSource: "realedit",
    kinds.ShareGpt4oSource: "sharegpt4o",
    kinds.JsonlSource: "jsonl",
    kinds.MegalithSource: "url_lists",
    kinds.ReLaionSource: "url_lists",
    kinds.CoyoSource: "url_lists",
    kinds.CommonCatalogSource: "common_catalog",
    kinds.OmniCorpusSource: "omnicorpus",
    kinds.SceneTextsSource: "scene_texts",
    kinds.TextJsonlSource: "texts",
    kinds.NemotronCcSource: "texts",
    kinds.MegaMathSource: "megamath",
    kinds.LlavaOneVisionSource: "llava_onevision",
    kinds.SceneAlbumsSource: "scene_albums",
}

R = TypeVar("R", bound=AnyRecord)


class Reader(Protocol):
    """What a module of a kind of source has."""

    WANTED: str

    def list_shards(self, source: Any, files: Sequence[FileInfo], /) -> list[Shard]:
        """Cut what there is into shards, in order."""
        ...

    def read(
        self, source: Any, shard: Shard, max_bytes: int, wanted: frozenset[str] | None, /
    ) -> Iterator[AnyRecord]:
        """The records of a shard in a fixed order, bad ones included, one at a time."""
        ...


def reader_of(source: OneSource) -> Reader:
    """The module that reads a kind of source."""
    return cast(Reader, importlib.import_module(f"jobs.sources.{_MODULES[type(source)]}"))


def read_pictures(
    source: Source, shard: Shard, max_bytes: int, wanted: frozenset[str] | None = None
) -> Iterator[Record]:
    """Pictures with captions of a shard, in a fixed order, bad ones included, one at a time.

    Args:
        source: the recipe's source.
        shard: one of its shards.
        max_bytes: larger pictures are not read; they come with reason `too_many_bytes`.
        wanted: `Record.source` of the records to give; all when absent.
    """
    return _read(Record, source, shard, max_bytes, wanted)


def read_edits(
    source: Source, shard: Shard, max_bytes: int, wanted: frozenset[str] | None = None
) -> Iterator[EditRecord]:
    """Edits of a shard; see `read_pictures`."""
    return _read(EditRecord, source, shard, max_bytes, wanted)


def read_dialogues(
    source: Source, shard: Shard, max_bytes: int, wanted: frozenset[str] | None = None
) -> Iterator[DialogueRecord]:
    """Dialogues of a shard; see `read_pictures`."""
    return _read(DialogueRecord, source, shard, max_bytes, wanted)


def read_texts(
    source: Source, shard: Shard, max_bytes: int, wanted: frozenset[str] | None = None
) -> Iterator[TextRecord]:
    """Texts of a shard; see `read_pictures`. `max_bytes` is of one text."""
    return _read(TextRecord, source, shard, max_bytes, wanted)


def _read(
    kind: type[R], source: Source, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[R]:
    one = source.parts[shard.part] if isinstance(source, Mix) else source
    for record in reader_of(one).read(one, shard, max_bytes, wanted):
        assert isinstance(record, kind), f"{one.kind} gives {type(record).__name__}"
        yield record
