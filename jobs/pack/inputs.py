"""The token files of a stage: where they are, how they are shared among units, and their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.manifest import Manifest, read_manifest
from jobs.extract.read import token_files
from jobs.pack.columns import FAMILIES
from jobs.pack.records import DOCUMENT, Records
from jobs.readers import damage_named
from jobs.schemas import TOKENS_SCHEMA, check_format

T = TypeVar("T")

_PLANNED_ON = pa.schema(
    [TOKENS_SCHEMA.field(name).with_nullable(False) for name in ("sample_id", "family", "tokens", "pairs")]
)


@dataclass(frozen=True)
class TokenFile:
    """One file of tokens. `label` names it on every machine: asset, partition and path."""

    uri: str
    label: str
    rows: int
    bytes: int
    number: int = 0
    """Its place in the order of labels."""


def find_files(folders: Sequence[str]) -> list[TokenFile]:
    """The token files of finished folders, numbered by label, whatever the order of the folders."""
    found = [file for folder in folders for file in _files_of(folder)]
    ordered = sorted(found, key=lambda file: file.label)
    return [TokenFile(f.uri, f.label, f.rows, f.bytes, number) for number, f in enumerate(ordered)]


def count_documents(folders: Sequence[str]) -> dict[str, int]:
    """Documents of each family, from the manifests alone."""
    counts: dict[str, int] = {}
    for folder in folders:
        families: Mapping[str, Any] = read_manifest(folder).metadata["families"]
        for family, sums in families.items():
            counts[family] = counts.get(family, 0) + int(sums["documents"])
    return counts


def group(things: Iterable[T], size: Callable[[T], int], limit: int) -> list[tuple[T, ...]]:
    """Neighbours together up to a size; a larger one is alone."""
    groups: list[list[T]] = []
    held = 0
    for thing in things:
        if not groups or held + size(thing) > limit:
            groups.append([])
            held = 0
        groups[-1].append(thing)
        held += size(thing)
    return [tuple(members) for members in groups]


def read_documents(file: TokenFile) -> tuple[Records, pa.Schema]:
    """The documents of a file as records, and its schema; payloads are not read.

    Raises:
        UserError: it is damaged, of another format, or has a family that there is not.
    """
    with storage.open_input(file.uri) as stream, damage_named("a file of tokens", file.uri):
        parquet = pq.ParquetFile(stream)
        schema = parquet.schema_arrow
        check_format(schema, file.uri)
        names = _PLANNED_ON.names
        table = parquet.read(columns=names, use_threads=False).select(names).cast(_PLANNED_ON)
    family = pc.index_in(table["family"], value_set=pa.array(FAMILIES))
    if family.null_count:
        raise UserError(f"a family other than {', '.join(FAMILIES)}", file.uri, "Extract the tokens again")
    made = np.zeros(len(table), DOCUMENT)
    made["id"], made["family"] = table["sample_id"].to_numpy(), family.to_numpy()
    made["tokens"], made["pairs"] = table["tokens"].to_numpy(), table["pairs"].to_numpy()
    made["file"], made["row"] = file.number, np.arange(len(table))
    return made, schema


def _files_of(folder: str) -> Iterator[TokenFile]:
    manifest: Manifest = read_manifest(folder)
    prefix = "/".join([manifest.asset, *filter(None, [manifest.partition])])
    wanted = set(token_files(folder))
    for entry in manifest.files:
        if entry.path in wanted:
            uri = storage.join(folder, entry.path)
            yield TokenFile(uri, f"{prefix}/{entry.path}", entry.rows, entry.bytes)
