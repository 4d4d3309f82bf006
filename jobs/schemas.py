"""The Parquet schemas of tokens and packs, and the conversion between rows and arrays.

Integer arrays are stored as little-endian *binary* columns: a Parquet list of uint16 is physically
INT32 and twice as large. Self-correction inputs differ from the targets in a part of the positions
only, so they are stored as a bit mask of changed positions and the changed values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.errors import UserError
from model.scales import ScaleSchedule

SCHEDULES_KEY = b"nextscale.schedules"
"""Schema metadata of tokens and packs: JSON, schedule name -> {"cell": pixels, "grids": [[h, w], ...]}."""

PROVENANCE_KEY = b"nextscale.provenance"
"""Schema metadata of tokens and packs: JSON with the tokenizer's hash, the seed and the settings."""

FORMAT_KEY = b"nextscale.format"
"""Schema metadata of tokens and packs: the version of the columns, as decimal digits."""

FORMAT = 2
"""The version that this software writes and reads. 2 has pairs instead of FLOPs, and repeats in packs."""

SEGMENT = pa.struct(
    [
        ("kind", pa.string()),  # text | image
        ("length", pa.int32()),  # text ids, or tokens of the image over all scales
        ("schedule", pa.string()),  # of an image
        ("loss", pa.bool_()),
    ]
)

TOKENS_SCHEMA = pa.schema(
    [
        ("sample_id", pa.uint64()),
        ("family", pa.string()),
        ("segments", pa.list_(SEGMENT)),
        ("text_ids", pa.binary()),  # uint32, all text segments in order
        ("targets", pa.binary()),  # uint16, all images in order, coarse scales first, row-major
        ("changed", pa.binary()),  # one bit per target, little bit order: the input differs
        ("changed_values", pa.binary()),  # uint16, the inputs at changed positions
        ("tokens", pa.int32()),  # positions in a packed sequence
        ("pairs", pa.int64()),  # (query, key) pairs that its attention mask allows
    ]
)

PACKS_SCHEMA = pa.schema(
    [
        ("pack", pa.int32()),
        # `repeat` counts the earlier times that this packing holds the same document.
        ("documents", pa.list_(pa.struct([*TOKENS_SCHEMA, pa.field("repeat", pa.int32())]))),
        ("tokens", pa.int32()),
        ("cost", pa.float64()),  # forward FLOPs in the packing cost model
    ]
)


_NO_IDS: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
_NO_CODES: npt.NDArray[np.uint16] = np.empty(0, np.uint16)


@dataclass(frozen=True)
class SegmentTokens:
    """One segment as arrays. Text has `ids`; an image has `targets` and `inputs` of equal length."""

    kind: Literal["text", "image"]
    loss: bool
    ids: npt.NDArray[np.uint32] = field(default_factory=lambda: _NO_IDS)
    schedule: str = ""
    targets: npt.NDArray[np.uint16] = field(default_factory=lambda: _NO_CODES)
    inputs: npt.NDArray[np.uint16] = field(default_factory=lambda: _NO_CODES)


@dataclass(frozen=True)
class DocumentTokens:
    """A tokenized document: what extraction writes, packs carry and training reads."""

    sample_id: int
    family: str
    segments: tuple[SegmentTokens, ...]
    repeat: int = 0
    """How often the packing holds the document before this time."""


def to_row(document: DocumentTokens, tokens: int, pairs: int) -> dict[str, Any]:
    """A document as a row of TOKENS_SCHEMA."""
    texts = [s for s in document.segments if s.kind == "text"]
    images = [s for s in document.segments if s.kind == "image"]
    targets = np.concatenate([_NO_CODES, *(s.targets for s in images)]).astype("<u2")
    inputs = np.concatenate([_NO_CODES, *(s.inputs for s in images)]).astype("<u2")
    changed = targets != inputs
    return {
        "sample_id": document.sample_id,
        "family": document.family,
        "segments": [
            {
                "kind": s.kind,
                "length": len(s.ids) if s.kind == "text" else len(s.targets),
                "schedule": s.schedule or None,
                "loss": s.loss,
            }
            for s in document.segments
        ],
        "text_ids": np.concatenate([_NO_IDS, *(s.ids for s in texts)]).astype("<u4").tobytes(),
        "targets": targets.tobytes(),
        "changed": np.packbits(changed, bitorder="little").tobytes(),
        "changed_values": inputs[changed].tobytes(),
        "tokens": tokens,
        "pairs": pairs,
    }


def from_row(row: dict[str, Any]) -> DocumentTokens:
    """The inverse of `to_row`.

    Raises:
        ValueError: the row's lengths contradict each other.
    """
    ids = np.frombuffer(row["text_ids"], "<u4")
    targets = np.frombuffer(row["targets"], "<u2")
    inputs = _inputs(targets, row["changed"], row["changed_values"])
    segments = []
    id_at = code_at = 0
    for s in row["segments"]:
        if s["kind"] == "text":
            segments.append(SegmentTokens("text", s["loss"], ids[id_at : id_at + s["length"]]))
            id_at += s["length"]
        else:
            place = slice(code_at, code_at + s["length"])
            segments.append(
                SegmentTokens("image", s["loss"], _NO_IDS, s["schedule"], targets[place], inputs[place])
            )
            code_at += s["length"]
    if (id_at, code_at) != (len(ids), len(targets)):
        raise ValueError(
            f"segments cover {id_at} text ids and {code_at} codes, not {len(ids)}, {len(targets)}"
        )
    return DocumentTokens(row["sample_id"], row["family"], tuple(segments), row.get("repeat", 0))


def with_metadata(
    schema: pa.Schema, schedules: Iterable[ScaleSchedule], provenance: dict[str, Any]
) -> pa.Schema:
    """A schema of tokens or packs that says which schedules its rows use and what made them."""
    grids = {s.name: {"cell": s.cell, "grids": s.grids} for s in schedules}
    return schema.with_metadata(
        {
            FORMAT_KEY: str(FORMAT).encode(),
            SCHEDULES_KEY: json.dumps(grids, sort_keys=True).encode(),
            PROVENANCE_KEY: json.dumps(provenance, sort_keys=True).encode(),
        }
    )


def check_format(schema: pa.Schema, uri: str) -> None:
    """Refuse a file of tokens or packs of another version.

    Raises:
        UserError: says which version it is and how to have it in this one.
    """
    found = (schema.metadata or {}).get(FORMAT_KEY, b"1").decode(errors="replace")
    if found != str(FORMAT):
        raise UserError(
            f"format {found} of tokens and packs, this software reads {FORMAT}",
            uri,
            "Run `nextscale run`: what is of another format is made anew from the curated documents",
        )


def read_schedules(schema: pa.Schema) -> dict[str, ScaleSchedule]:
    """The schedules that the rows of a file use, by name."""
    found = json.loads(schema.metadata[SCHEDULES_KEY])
    return {
        name: ScaleSchedule(name, tuple((h, w) for h, w in entry["grids"]), entry["cell"])
        for name, entry in found.items()
    }


def read_provenance(schema: pa.Schema) -> dict[str, Any]:
    """What made the rows of a file."""
    found: dict[str, Any] = json.loads(schema.metadata[PROVENANCE_KEY])
    return found


def _inputs(targets: npt.NDArray[np.uint16], mask: bytes, values: bytes) -> npt.NDArray[np.uint16]:
    """The targets with the changed positions replaced."""
    bits = np.frombuffer(mask, np.uint8)
    changed = np.unpackbits(bits, bitorder="little").astype(bool)
    new = np.frombuffer(values, "<u2")
    if len(bits) != -(-len(targets) // 8) or changed.sum() != len(new):
        raise ValueError(f"{len(bits)} mask bytes and {len(new)} changes do not fit {len(targets)} codes")
    inputs = targets.copy()
    inputs[np.flatnonzero(changed)] = new
    return inputs
