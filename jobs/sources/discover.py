"""Discovery: list every family's source, cut it into drops, publish each drop's listing.

A drop is the partition people see; its shards are the units of work. A listing names every file with
its size and a mark that changes when the file does, so a drop with a changed file gets a new fingerprint
and the others keep theirs. Shards are numbered over all files in the order of their names: after a file
that comes to stand, or goes, between others, the shards behind it are others, and their drops are done
again. The listing that counts for a source is named in `raw/<family>/current/<source>.json`.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

from infra import storage
from infra.catalogue import Counts
from infra.document import Family
from infra.errors import UserError
from infra.manifest import FileEntry, Manifest, Output, digest, find_manifest, fingerprint
from infra.storage import FileInfo
from jobs.recipe import Recipe
from jobs.recipe.sources import Drawn, Mix, OneSource, SceneTextsSource, Source
from jobs.sources import is_text
from jobs.sources.read import reader_of
from jobs.sources.shards import Shard, publish_shards

VERSION = "2"


def raw_asset(family: str) -> str:
    """The key of a family's raw data."""
    return f"raw/{family}"


def discover(recipe: Recipe, home: str) -> dict[Family, list[str]]:
    """Publish the listing of every drop of every source; return the drops' names by family.

    Raises:
        UserError: a source has nothing to read, or cannot be reached.
    """
    return {family: _discover(family, source, home) for family, source in recipe.sources.given().items()}


def raw_output(recipe: Recipe, home: str, family: Family, drop: str) -> str:
    """The folder of a drop's current listing.

    Raises:
        UserError: the drop is not in the source's last discovery.
    """
    asset = raw_asset(family)
    place = _current_uri(home, family, recipe.sources.given()[family])
    current = json.loads(storage.read_bytes(place)) if storage.exists(place) else {}
    if drop not in current:
        raise UserError(f"drop {drop!r} is not discovered", asset, f"Run the discovery of {asset} again")
    return storage.join(home, asset, drop, current[drop])


def list_shards(family: str, source: Source) -> list[Shard]:
    """The shards of a family's source, in order.

    Raises:
        UserError: there is nothing to read.
    """
    if not isinstance(source, Mix):
        return _list_one(source, f"sources.{family}")
    return [
        replace(shard, name=f"{part}-{shard.name}", part=part)
        for part, one in source.parts.items()
        for shard in _list_one(one, f"sources.{family}.parts.{part}")
    ]


def _discover(family: Family, source: Source, home: str) -> list[str]:
    shards = list_shards(family, source)
    size = source.drop_shards
    drops = {f"{family}-{n // size:04d}": shards[n : n + size] for n in range(0, len(shards), size)}
    current = {drop: _publish(home, family, source, drop, members) for drop, members in drops.items()}
    text = json.dumps(current, indent=1, sort_keys=True)
    storage.publish_bytes(_current_uri(home, family, source), text.encode())
    return list(drops)


def _list_one(source: OneSource, setting: str) -> list[Shard]:
    reader = reader_of(source)
    if isinstance(source, Drawn | SceneTextsSource):
        return reader.list_shards(source, ())
    files = _list_files(source.uri, setting)
    shards = reader.list_shards(source, files)
    if not shards:
        found = f"{len(files)} other files" if files else "no files at all"
        raise UserError(
            f"no {reader.WANTED} here, {found}", source.uri, f"Correct {setting}.uri in the recipe"
        )
    return shards


def _list_files(uri: str, setting: str) -> list[FileInfo]:
    place = uri if storage.is_remote(uri) else os.path.abspath(os.path.expanduser(uri))
    if not storage.is_remote(uri) and not os.path.isdir(place):
        raise UserError("no such folder", uri, f"Correct {setting}.uri in the recipe")
    files = storage.list_files(place)
    for file in files:
        if not is_text(file.uri):
            raise UserError(f"a file's name is not UTF-8: {file.uri!a}", uri, "Rename it")
    return files


def _publish(home: str, family: Family, source: Source, drop: str, shards: list[Shard]) -> str:
    """Publish one drop's listing, if it is new; return its fingerprint."""
    asset = raw_asset(family)
    listed = [
        f"{shard.name} {shard.start} {shard.records} {file.uri} {file.bytes} {file.version}"
        for shard in shards
        for file in shard.files
    ]
    name = fingerprint(asset, VERSION, source.model_dump(mode="json"), {"files": listed})
    output = Output(storage.join(home, asset, drop, name))
    if find_manifest(output.uri) is None:
        entry = publish_shards(output, shards)
        output.commit(_manifest(asset, drop, name, shards, entry))
    return name


def _manifest(asset: str, drop: str, name: str, shards: list[Shard], entry: FileEntry) -> Manifest:
    # Where one shard cannot tell its records before they are read, the listing counts none.
    records = sum(shard.records for shard in shards) if all(shard.records for shard in shards) else 0
    sizes = {file.uri: file.bytes for shard in shards for file in shard.files}
    return Manifest(
        asset=asset,
        partition=drop,
        fingerprint=name,
        files=(entry,),
        counts=Counts(total=records, kept=records),
        metadata={
            "shards": len(shards),
            "files": entry.rows,
            "bytes": sum(sizes.values()),
        },
    )


def _current_uri(home: str, family: str, source: Source) -> str:
    name = f"{digest(source.model_dump(mode='json'))[:16]}.json"
    return storage.join(home, raw_asset(family), "current", name)
