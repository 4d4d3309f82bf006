"""The Parquet schemas of tokens and packs, and the conversion between rows and arrays.

Integer arrays are stored as little-endian *binary* columns: a Parquet list of uint16 is physically
INT32 and twice as large. Self-correction inputs differ from the targets in a part of the positions
only, so they are stored as a bit mask of changed positions and the changed values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SCHEDULES_KEY = b"nextscale.schedules"
"""Schema metadata of tokens and packs: JSON, schedule name -> {"cell": pixels, "grids": [[h, w], ...]}."""

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
        ("flops", pa.float64()),  # cost in the packing cost model
    ]
)

PACKS_SCHEMA = pa.schema(
    [
        ("pack", pa.int32()),
        ("documents", pa.list_(pa.struct(list(TOKENS_SCHEMA)))),
        ("tokens", pa.int32()),
        ("flops", pa.float64()),
    ]
)


_NO_CODES: npt.NDArray[np.uint16] = np.empty(0, np.uint16)


@dataclass(frozen=True)
class SegmentTokens:
    """One segment as arrays. Text has `ids`; an image has `targets` and `inputs` of equal length."""

    kind: Literal["text", "image"]
    loss: bool
    ids: npt.NDArray[np.uint32]
    schedule: str = ""
    targets: npt.NDArray[np.uint16] = _NO_CODES
    inputs: npt.NDArray[np.uint16] = _NO_CODES


@dataclass(frozen=True)
class DocumentTokens:
    """A tokenized document: what extraction writes, packs carry and training reads."""

    sample_id: int
    family: str
    segments: tuple[SegmentTokens, ...]


def to_row(document: DocumentTokens, tokens: int, flops: float) -> dict[str, Any]:
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
        "text_ids": np.concatenate([np.empty(0, np.uint32), *(s.ids for s in texts)]).astype("<u4").tobytes(),
        "targets": targets.tobytes(),
        "changed": np.packbits(changed, bitorder="little").tobytes(),
        "changed_values": inputs[changed].tobytes(),
        "tokens": tokens,
        "flops": flops,
    }


def from_row(row: dict[str, Any]) -> DocumentTokens:
    """The inverse of `to_row`.

    Raises:
        ValueError: the row's lengths contradict each other.
    """
    texts = np.frombuffer(row["text_ids"], "<u4")
    targets = np.frombuffer(row["targets"], "<u2")
    changed = np.unpackbits(
        np.frombuffer(row["changed"], np.uint8), count=len(targets), bitorder="little"
    ).astype(bool)
    inputs = targets.copy()
    inputs[changed] = np.frombuffer(row["changed_values"], "<u2")
    segments = []
    text_at = image_at = 0
    for s in row["segments"]:
        if s["kind"] == "text":
            ids = texts[text_at : text_at + s["length"]]
            segments.append(SegmentTokens("text", s["loss"], ids))
            text_at += s["length"]
        else:
            place = slice(image_at, image_at + s["length"])
            segments.append(
                SegmentTokens(
                    "image", s["loss"], np.empty(0, np.uint32), s["schedule"], targets[place], inputs[place]
                )
            )
            image_at += s["length"]
    if (text_at, image_at) != (len(texts), len(targets)):
        raise ValueError(f"segments cover {text_at} text ids and {image_at} image tokens, not all of the row")
    return DocumentTokens(row["sample_id"], row["family"], tuple(segments))
