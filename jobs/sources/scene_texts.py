"""Texts about the embedded world as a source: text number n of a seed is always the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.storage import FileInfo
from jobs.recipe.sources import SceneTextsSource
from jobs.sources import TextRecord
from jobs.sources.shards import Shard, drawn_shards

WANTED = "texts"


def list_shards(source: SceneTextsSource, _files: Sequence[FileInfo]) -> list[Shard]:
    """Cut the texts into shards of `shard_records`."""
    return drawn_shards(f"scene_texts:{source.seed}", source.count, source.shard_records)


def read(
    source: SceneTextsSource, shard: Shard, _max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[TextRecord]:
    """Write the texts of a shard; only those in `wanted`, if given."""
    # Imported here: discovery lists texts without writing any.
    from jobs.scenes.texts import write_text

    for index in range(shard.start, shard.start + shard.records):
        place = f"{shard.files[0].uri}#{index:09d}"
        if wanted is None or place in wanted:
            yield TextRecord(place, write_text(source.seed, index).text)
