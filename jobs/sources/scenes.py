"""The embedded world as a source: scene number n of a seed is always the same picture and caption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.storage import FileInfo
from jobs.recipe import ScenesSource
from jobs.sources import Record
from jobs.sources.shards import Shard, drawn_shards

WANTED = "scenes"


def list_shards(source: ScenesSource, _files: Sequence[FileInfo]) -> list[Shard]:
    """Cut the scenes into shards of `shard_records`."""
    return drawn_shards(f"scenes:{source.seed}/{source.size}", source.count, source.shard_records)


def read(
    source: ScenesSource, shard: Shard, _max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """Draw the scenes of a shard; only those in `wanted`, if given."""
    for index in range(shard.start, shard.start + shard.records):
        place = f"{shard.files[0].uri}#{index:09d}"
        if wanted is None or place in wanted:
            yield _draw(place, index, source)


def _draw(place: str, index: int, source: ScenesSource) -> Record:
    # Imported here: discovery lists scenes without drawing any.
    from jobs.scenes.sample import make_sample

    sample = make_sample(source.seed, index, source.size)
    return Record(place, sample.png, sample.caption, truth=sample.truth)
