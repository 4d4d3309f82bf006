"""One document type from curation to training: a list of segments, text or image, in order."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Family = Literal["t2i", "understanding", "edit", "subject", "video", "text"]


class TextSegment(BaseModel):
    """Text of a document. `loss` says whether training supervises it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["text"] = "text"
    text: str
    loss: bool = True


class ImageSegment(BaseModel):
    """A picture of a document: the tar member that holds its original bytes.

    `width` and `height` are pixels as displayed, that is after EXIF rotation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["image"] = "image"
    member: str
    width: int
    height: int
    sha256: str
    loss: bool = True


Segment = Annotated[TextSegment | ImageSegment, Field(discriminator="kind")]


class Document(BaseModel):
    """What curation publishes and every later stage consumes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sample_id: int
    family: Family
    segments: tuple[Segment, ...]
    metadata: dict[str, Any] = {}


def sample_id(family: Family, parts: list[bytes]) -> int:
    """64-bit id of a sample: a hash of its content, never a counter.

    Args:
        family: the data family; one picture may serve several.
        parts: the content in order: encoded text, original picture bytes.

    Returns:
        An unsigned 64-bit integer, the same on every machine and in every run.
    """
    digest = hashlib.blake2b(family.encode(), digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def format_id(value: int) -> str:
    """A sample id as users see and type it: 16 hex digits."""
    return f"{value:016x}"


def parse_id(text: str) -> int:
    """The inverse of `format_id`.

    Raises:
        ValueError: not 16 hex digits.
    """
    if len(text) != 16:
        raise ValueError(f"a sample id has 16 hex digits, got {text!r}")
    return int(text, 16)
