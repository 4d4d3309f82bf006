"""What an asset's page shows: counts, reasons, figures, columns, and the pictures themselves."""

from __future__ import annotations

import base64
import io
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from infra import storage
from infra.catalogue import Counts
from infra.manifest import Manifest, Output

MAX_PICTURE_BYTES = 150_000
"""Pictures are part of Dagster's event; larger ones are scaled down."""

MAX_PNG_BYTES = MAX_PICTURE_BYTES * 3 // 4
"""Base64 makes four characters of three bytes."""


def output_metadata(folder: str, manifest: Manifest) -> dict[str, Any]:
    """Metadata of a finished output, with its pictures and columns."""
    pictures = {
        f"picture: {name}": picture_markdown(name, uri) for name, uri in Output(folder).pictures().items()
    }
    counts = counts_metadata(manifest.counts)
    return counts | pictures | manifest_metadata(folder, manifest) | _columns(folder, manifest)


def counts_metadata(counts: Counts) -> dict[str, Any]:
    """What became of the records, and why."""
    values: dict[str, Any] = {
        "in": counts.total,
        "kept": counts.kept,
        "rejected": sum(counts.rejected.values()),
        "errored": counts.errored,
    }
    if counts.rejected:
        values["reasons"] = dg.MetadataValue.md(reasons_table(counts))
    return values


def manifest_metadata(folder: str, manifest: Manifest) -> dict[str, Any]:
    """Metadata that a manifest alone gives."""
    values = counts_metadata(manifest.counts) | {
        "files": len(manifest.files),
        "bytes": sum(file.bytes for file in manifest.files),
        "path": dg.MetadataValue.path(folder),
        "fingerprint": manifest.fingerprint,
    }
    return values | {f"figure: {name}": _value(value) for name, value in manifest.metadata.items()}


def reasons_table(counts: Counts) -> str:
    """Why records were rejected, the most frequent first, as a Markdown table."""
    ordered = sorted(counts.rejected.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [f"| {reason} | {number} | {number / counts.total:.1%} |" for reason, number in ordered]
    return "\n".join(["| reason | records | share |", "|---|---|---|", *rows])


def picture_markdown(name: str, uri: str) -> dg.MarkdownMetadataValue:
    """A stored PNG as Markdown with the picture inside."""
    text = base64.b64encode(shrink(storage.read_bytes(uri))).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{text})")


def shrink(png: bytes) -> bytes:
    """A PNG that is small enough for an event: itself, or a smaller copy."""
    from PIL import Image

    while len(png) > MAX_PNG_BYTES:
        picture = Image.open(io.BytesIO(png)).convert("RGB")
        share = max(0.3, min(0.9, (MAX_PNG_BYTES / len(png)) ** 0.5))
        size = (max(1, int(picture.width * share)), max(1, int(picture.height * share)))
        buffer = io.BytesIO()
        picture.resize(size, Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
        png = buffer.getvalue()
    return png


def _value(value: Any) -> Any:
    """A figure as Dagster shows it best."""
    if value is None:
        return dg.MetadataValue.null()
    if isinstance(value, bool | int | float | str):
        return value
    return dg.MetadataValue.json(value)


def _columns(folder: str, manifest: Manifest) -> dict[str, Any]:
    """The columns of the first Parquet file, for the UI's Columns tab, and its kind's rows."""
    tables = manifest.paths(".parquet")
    if not tables:
        return {}
    with storage.open_input(storage.join(folder, tables[0])) as stream:
        schema = pq.read_schema(stream)
    columns = [dg.TableColumn(column.name, str(column.type)) for column in schema]
    rows = sum(file.rows for file in manifest.files if file.path == tables[0])
    return {"dagster/column_schema": dg.TableSchema(columns), "dagster/row_count": rows}
