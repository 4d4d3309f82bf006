"""The token files of a stage: the columns to plan on, and the rows themselves, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from infra import storage
from infra.manifest import read_manifest, read_table
from jobs.extract.read import token_files
from jobs.pack.columns import Columns, Ints
from jobs.schemas import PACKS_SCHEMA, TOKENS_SCHEMA


@dataclass(frozen=True)
class TokenFile:
    """One file of tokens. `label` names it on every machine: asset, partition and path."""

    uri: str
    label: str


def find_files(folders: Sequence[str]) -> list[TokenFile]:
    """The token files of finished folders, ordered by label, whatever the order of the folders."""
    found = []
    for folder in folders:
        manifest = read_manifest(folder)
        prefix = "/".join([manifest.asset, *filter(None, [manifest.partition])])
        found += [TokenFile(storage.join(folder, p), f"{prefix}/{p}") for p in token_files(folder)]
    return sorted(found, key=lambda file: file.label)


def read_columns(files: Sequence[TokenFile]) -> Columns:
    """Ids, families and costs of all documents; payloads are not read."""
    names = ["sample_id", "family", "tokens", "flops"]
    tables = [read_table(file.uri, names) for file in files]
    counts = [table.num_rows for table in tables]
    every = pa.concat_tables([TOKENS_SCHEMA.empty_table().select(names), *tables], promote_options="none")
    return Columns(
        ids=every["sample_id"].to_numpy(),
        family=np.array(every["family"].to_pylist(), dtype=np.str_),
        tokens=every["tokens"].to_numpy().astype(np.int64),
        flops=every["flops"].to_numpy(),
        file=np.repeat(np.arange(len(files)), counts),
        row=np.concatenate([np.empty(0, np.int64), *(np.arange(n) for n in counts)]),
    )


def read_rows(files: Sequence[TokenFile], wanted: Columns) -> pa.Table:
    """The rows of `wanted`, in its order. Each file is read once; only wanted rows stay in memory."""
    order = np.argsort(wanted.file, kind="stable")
    parts = [
        read_table(files[number].uri).take(pa.array(wanted.row[wanted.file == number]))
        for number in np.unique(wanted.file)
    ]
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_tables([part.replace_schema_metadata(None) for part in parts]).take(pa.array(back))


def to_packs(rows: pa.Table, sizes: Ints, first_pack: int) -> pa.Table:
    """Group consecutive rows into packs of `sizes` documents, as a table of PACKS_SCHEMA."""
    rows = rows.cast(TOKENS_SCHEMA).combine_chunks()
    columns = [column.combine_chunks() for column in rows.columns]
    documents = pa.StructArray.from_arrays(columns, fields=list(TOKENS_SCHEMA))
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    tokens = np.add.reduceat(rows["tokens"].to_numpy(), starts[:-1])
    flops = np.add.reduceat(rows["flops"].to_numpy(), starts[:-1])
    numbers = np.arange(first_pack, first_pack + len(sizes))
    arrays = [
        pa.array(numbers, pa.int32()),
        pa.ListArray.from_arrays(pa.array(starts), documents),
        pa.array(tokens, pa.int32()),
        pa.array(flops, pa.float64()),
    ]
    return pa.Table.from_arrays(arrays, schema=PACKS_SCHEMA)
