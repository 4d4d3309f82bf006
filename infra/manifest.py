"""What a stage publishes: files with checksums, receipts per unit of work, one manifest at the end.

A stage's output folder is named by its *fingerprint*: a hash of the settings, the code version and
the hashes of the input manifests. So a folder with a manifest is finished and right, a folder
without one is continued unit by unit, and a changed recipe writes elsewhere. Nothing is overwritten.

    <home>/<area>/<name>/<partition>/<fingerprint>/
        data/<unit>.*           what the stage makes
        units/<unit>.json       receipt: files, checksums, counts; published after the unit's files
        pictures/*.png          what people look at
        manifest.parquet        published last; one row per file, the rest in the schema's metadata
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError

MANIFEST = "manifest.parquet"
INPUTS = "inputs"
"""In the metadata of trainings: hashes of the outputs that it was made from, by asset."""
SCHEMA_VERSION = 1
_KEY = b"nextscale"


class FileEntry(BaseModel):
    """A published file. `path` is relative to the output folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    bytes: int
    sha256: str
    rows: int = 0


class Receipt(BaseModel):
    """Proof that one unit of work is done: what it published and what became of its records."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    unit: str
    files: tuple[FileEntry, ...]
    counts: Counts
    metadata: dict[str, Any] = {}


class Manifest(BaseModel):
    """All a later stage needs to know of an earlier one.

    `metadata` holds figures that are a pure function of content and recipe, never a time of day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    asset: str
    partition: str | None
    fingerprint: str
    files: tuple[FileEntry, ...]
    counts: Counts
    metadata: dict[str, Any] = {}

    @property
    def hash(self) -> str:
        """The data version: changes exactly when the published content does."""
        body = {"files": [f.model_dump() for f in self.files], "counts": self.counts.model_dump()}
        return digest(body)

    def paths(self, suffix: str) -> list[str]:
        """Relative paths of the files with a suffix, in order."""
        return [f.path for f in self.files if f.path.endswith(suffix)]


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(asset: str, version: str, settings: dict[str, Any], inputs: dict[str, list[str]]) -> str:
    """16 hex digits that name what a stage makes: recipe settings, code version, input hashes."""
    return digest({"asset": asset, "version": version, "settings": settings, "inputs": inputs})[:16]


class Output:
    """The folder one job publishes into. Cheap to make; safe to send to Ray workers."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def publish(self, path: str, data: bytes, rows: int = 0) -> FileEntry:
        """Write one file atomically and return its entry."""
        checksum = storage.publish_bytes(storage.join(self.uri, path), data)
        return FileEntry(path=path, bytes=len(data), sha256=checksum, rows=rows)

    def publish_table(self, path: str, table: pa.Table, group_rows: int | None = None) -> FileEntry:
        """Write a Parquet file atomically; the same table gives the same bytes.

        Readers hold one row group in memory: `group_rows` bounds it where rows are large.
        """
        return self.publish(path, table_bytes(table, group_rows), table.num_rows)

    def picture(self, name: str, png: bytes) -> str:
        """Store a PNG for people to look at; return its URI."""
        uri = storage.join(self.uri, "pictures", f"{name}.png")
        storage.publish_bytes(uri, png)
        return uri

    def pictures(self) -> dict[str, str]:
        """Name to URI of the pictures stored so far."""
        found = storage.list_files(storage.join(self.uri, "pictures"))
        return {f.uri.rsplit("/", 1)[1].removesuffix(".png"): f.uri for f in found}

    def finish_unit(self, receipt: Receipt) -> Receipt:
        """Publish a unit's receipt, after its files; return it as later runs read it."""
        data = receipt.model_dump_json(indent=1).encode()
        storage.publish_bytes(storage.join(self.uri, "units", f"{receipt.unit}.json"), data)
        return Receipt.model_validate_json(data)

    def receipts(self) -> dict[str, Receipt]:
        """The units that earlier runs finished, by name."""
        files = storage.list_files(storage.join(self.uri, "units"))
        receipts = (Receipt.model_validate_json(storage.read_bytes(f.uri)) for f in files)
        return {r.unit: r for r in receipts}

    def commit(self, manifest: Manifest) -> Manifest:
        """Publish the manifest: from now on the stage is done."""
        storage.clear_unfinished(self.uri)
        table = pa.Table.from_pylist([f.model_dump() for f in manifest.files], schema=_FILE_SCHEMA)
        header = manifest.model_dump(mode="json", exclude={"files"}) | {"schema_version": SCHEMA_VERSION}
        table = table.replace_schema_metadata({_KEY: json.dumps(header, sort_keys=True).encode()})
        storage.publish_bytes(storage.join(self.uri, MANIFEST), table_bytes(table))
        return manifest


_FILE_SCHEMA = pa.schema(
    [("path", pa.string()), ("bytes", pa.int64()), ("sha256", pa.string()), ("rows", pa.int64())]
)


def find_manifest(uri: str) -> Manifest | None:
    """The manifest of an output folder, or None where the stage is not finished."""
    return read_manifest(uri) if storage.exists(storage.join(uri, MANIFEST)) else None


def read_manifest(uri: str) -> Manifest:
    """The manifest of a finished output folder.

    Raises:
        UserError: there is none, it is damaged, or another version of this software wrote it.
    """
    path = storage.join(uri, MANIFEST)
    try:
        return _parse(read_table(path), path)
    except (ValueError, TypeError, LookupError) as error:
        raise UserError(
            f"the manifest is damaged ({error})", path, "Remove its folder and run again"
        ) from error


def _parse(table: pa.Table, path: str) -> Manifest:
    header = json.loads(table.schema.metadata[_KEY])
    version = header.pop("schema_version")
    if version != SCHEMA_VERSION:
        raise UserError(
            f"manifest version {version}, this software reads {SCHEMA_VERSION}",
            path,
            "Remove the folder and run again, or use the version that wrote it",
        )
    return Manifest(files=tuple(FileEntry(**row) for row in table.to_pylist()), **header)


def input_hashes(inputs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Hashes of the manifests of finished outputs, given by their folders."""
    return {asset: [read_manifest(uri).hash for uri in folders] for asset, folders in inputs.items()}


def table_bytes(table: pa.Table, group_rows: int | None = None) -> bytes:
    """A table as Parquet bytes, a pure function of its content."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_statistics=True, row_group_size=group_rows)
    return buffer.getvalue()


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file from local or S3 storage."""
    with storage.open_input(uri) as stream:
        # On this thread: one of Arrow's that lets go of the stream while Python ends aborts the process.
        return pq.ParquetFile(stream).read(columns=columns, use_threads=False)
