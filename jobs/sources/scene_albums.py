"""Albums of the embedded world as a source: picture number n of a seed is always the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.storage import FileInfo
from jobs.recipe.sources import SceneAlbumsSource
from jobs.sources import Record
from jobs.sources.shards import Shard, drawn_shards

WANTED = "albums of scenes"


def list_shards(source: SceneAlbumsSource, _files: Sequence[FileInfo]) -> list[Shard]:
    """Cut the pictures into shards of about `shard_records`; an album is never split."""
    albums = max(1, source.shard_records // source.album_pictures)
    return drawn_shards(_world(source), source.count, albums * source.album_pictures)


def read(
    source: SceneAlbumsSource, shard: Shard, _max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """Draw the pictures of a shard; only those in `wanted`, if given. The group is the album."""
    for index in range(shard.start, shard.start + shard.records):
        place = f"{shard.files[0].uri}#{index:09d}"
        if wanted is None or place in wanted:
            yield _draw(place, index, source)


def _draw(place: str, index: int, source: SceneAlbumsSource) -> Record:
    # Imported here: discovery lists albums without drawing any.
    from jobs.scenes.albums import make_album_sample

    sample = make_album_sample(source.seed, index, source.album_pictures, source.size)
    group = f"{_world(source)}/{index // source.album_pictures:08d}"
    return Record(place, sample.png, sample.caption, truth=sample.truth, group=group)


def _world(source: SceneAlbumsSource) -> str:
    return f"scene_albums:{source.seed}/{source.size}/{source.album_pictures}"
