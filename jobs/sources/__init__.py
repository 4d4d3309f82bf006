"""Where raw data comes from: every source is a stream of records, bad ones included.

Importing this package loads no torch, ray or cv2: discovery runs inside Dagster's sensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PICTURE_SUFFIXES = frozenset({"png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"})
"""File name extensions that mark a picture, in lower case. The content decides what it really is."""

MAX_CAPTION_BYTES = 1 << 20
"""A caption file beyond this is not read."""


@dataclass(frozen=True)
class Record:
    """One picture with a caption, whatever became of it.

    `source` is `uri#member`, unique. A record that the source cannot give has a `reason` and no
    image. `caption_problem` is the reason why a caption that is there cannot be used.
    """

    source: str
    image: bytes | None = None
    caption: str | None = None
    caption_problem: str | None = None
    truth: str | None = None
    group: str | None = None
    """What the picture appeared in together with others: a page, an album, a folder."""
    reason: str | None = None
    detail: str | None = None
    metadata: str | None = None
    """What else the source says of the picture, such as scores and its licence: a JSON object."""


@dataclass(frozen=True)
class EditRecord:
    """Pictures before and after an edit, and the instruction. See `Record` for source, reason and detail."""

    source: str
    inputs: tuple[bytes, ...] = ()
    output: bytes | None = None
    instruction: str | None = None
    subset: str = ""
    """Part of the source that is judged as a whole."""
    task: str | None = None
    """Kind of edit, where the source says it."""
    truth: str | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Turn:
    """What one side of a dialogue says; `<image>` marks where a picture stands."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class DialogueRecord:
    """A dialogue about pictures, or about none. See `Record` for source, reason and detail."""

    source: str
    images: tuple[bytes, ...] = ()
    turns: tuple[Turn, ...] = ()
    subset: str = ""
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class TextRecord:
    """One text. See `Record` for source, reason and detail."""

    source: str
    text: str | None = None
    subset: str = ""
    reason: str | None = None
    detail: str | None = None


AnyRecord = Record | EditRecord | DialogueRecord | TextRecord


def caption_text(data: bytes) -> tuple[str | None, str | None]:
    """Caption bytes as (text, problem): exactly one of them is set."""
    if len(data) > MAX_CAPTION_BYTES:
        return None, "caption_long"
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return None, "caption_not_utf8"


def is_text(value: object) -> bool:
    """Whether a value is a string without lone surrogates, which JSON can spell."""
    return isinstance(value, str) and value.encode("utf-8", "replace").decode() == value
