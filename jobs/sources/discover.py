"""Discovery: list a source, cut it into drops, publish each drop's listing.

A drop is the partition people see; its shards are the units of work. A listing names every file with
its size and a mark that changes when the file does, so new or changed files give new fingerprints and
nothing else is done again. The listing that counts for a source is named in
`raw/t2i/current/<source>.json`.
"""

from __future__ import annotations

import json
import os

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.manifest import FileEntry, Manifest, Output, digest, find_manifest, fingerprint
from infra.storage import FileInfo
from jobs.recipe import FolderSource, ParquetSource, Recipe, ScenesSource, Source
from jobs.sources import folder, parquet, scenes, webdataset
from jobs.sources.shards import Shard, publish_shards

ASSET = "raw/t2i"
VERSION = "1"


def discover(recipe: Recipe, home: str) -> list[str]:
    """Publish the listing of every drop of the text-to-image source; return the drops' names.

    Raises:
        UserError: the source has no picture, or cannot be reached.
    """
    source = recipe.sources.t2i
    shards = list_shards(source)
    size = source.drop_shards
    drops = {f"t2i-{n // size:04d}": shards[n : n + size] for n in range(0, len(shards), size)}
    current = {drop: _publish(home, source, drop, members) for drop, members in drops.items()}
    text = json.dumps(current, indent=1, sort_keys=True)
    storage.publish_bytes(_current_uri(home, source), text.encode())
    return list(drops)


def raw_output(recipe: Recipe, home: str, drop: str) -> str:
    """The folder of a drop's current listing.

    Raises:
        UserError: the drop is not in the source's last discovery.
    """
    place = _current_uri(home, recipe.sources.t2i)
    current = json.loads(storage.read_bytes(place)) if storage.exists(place) else {}
    if drop not in current:
        raise UserError(f"drop {drop!r} is not discovered", ASSET, "Run the discovery of raw/t2i again")
    return storage.join(home, ASSET, drop, current[drop])


def list_shards(source: Source) -> list[Shard]:
    """The shards of a source, in order.

    Raises:
        UserError: there is nothing to read.
    """
    if isinstance(source, ScenesSource):
        return scenes.list_shards(source)
    files = _list_files(source.uri)
    if isinstance(source, FolderSource):
        shards, wanted = folder.list_shards(files, source.shard_records), "pictures"
    elif isinstance(source, ParquetSource):
        shards, wanted = parquet.list_shards(files), ".parquet files"
    else:
        shards, wanted = webdataset.list_shards(files), ".tar files"
    if not shards:
        found = f"{len(files)} other files" if files else "no files at all"
        raise UserError(f"no {wanted} here, {found}", source.uri, "Correct sources.t2i.uri in the recipe")
    return shards


def _list_files(uri: str) -> list[FileInfo]:
    place = uri if storage.is_remote(uri) else os.path.abspath(os.path.expanduser(uri))
    if not storage.is_remote(uri) and not os.path.isdir(place):
        raise UserError("no such folder", uri, "Correct sources.t2i.uri in the recipe")
    files = storage.list_files(place)
    for file in files:
        if not _is_utf8(file.uri):
            raise UserError(f"a file's name is not UTF-8: {file.uri!a}", uri, "Rename it")
    return files


def _is_utf8(text: str) -> bool:
    return text.encode("utf-8", "replace").decode() == text


def _publish(home: str, source: Source, drop: str, shards: list[Shard]) -> str:
    """Publish one drop's listing, if it is new; return its fingerprint."""
    files = [f"{f.uri} {f.bytes} {f.version}" for shard in shards for f in shard.files]
    name = fingerprint(ASSET, VERSION, source.model_dump(mode="json"), {"files": files})
    output = Output(storage.join(home, ASSET, drop, name))
    if find_manifest(output.uri) is None:
        entry = publish_shards(output, shards)
        output.commit(_manifest(drop, name, shards, entry))
    return name


def _manifest(drop: str, name: str, shards: list[Shard], entry: FileEntry) -> Manifest:
    records = sum(shard.records for shard in shards)
    return Manifest(
        asset=ASSET,
        partition=drop,
        fingerprint=name,
        files=(entry,),
        counts=Counts(total=records, kept=records),
        metadata={
            "shards": len(shards),
            "files": entry.rows,
            "bytes": sum(f.bytes for shard in shards for f in shard.files),
        },
    )


def _current_uri(home: str, source: Source) -> str:
    return storage.join(home, ASSET, "current", f"{digest(source.model_dump(mode='json'))[:16]}.json")
