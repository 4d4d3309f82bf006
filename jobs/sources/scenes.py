"""The embedded world as a source: scene number n of a seed is always the same picture and caption."""

from __future__ import annotations

from collections.abc import Iterator

from infra.storage import FileInfo
from jobs.recipe import ScenesSource
from jobs.sources import Record
from jobs.sources.shards import Shard


def list_shards(source: ScenesSource) -> list[Shard]:
    """Cut the scenes into shards of `shard_records`."""
    world = FileInfo(f"scenes:{source.seed}/{source.size}", 0, "")
    starts = range(0, source.count, source.shard_records)
    return [
        Shard(f"{number:06d}", (world,), min(source.shard_records, source.count - start), start)
        for number, start in enumerate(starts)
    ]


def read(shard: Shard, source: ScenesSource, wanted: frozenset[str] | None) -> Iterator[Record]:
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
