"""Where raw data comes from: every source is a stream of records, bad ones included.

Importing this package loads no torch, ray or cv2: discovery runs inside Dagster's sensor.
"""

from __future__ import annotations

from dataclasses import dataclass

PICTURE_SUFFIXES = frozenset({"png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"})
"""File name extensions that mark a picture, in lower case. The content decides what it really is."""

MAX_CAPTION_BYTES = 1 << 20
"""A caption file beyond this is not read."""


@dataclass(frozen=True)
class Record:
    """One input record, whatever became of it.

    `source` is `uri#member`, unique. A record that the source cannot give has a `reason` and no
    image. `caption_problem` is the reason why a caption that is there cannot be used.
    """

    source: str
    image: bytes | None = None
    caption: str | None = None
    caption_problem: str | None = None
    truth: str | None = None
    reason: str | None = None
    detail: str | None = None


def caption_text(data: bytes) -> tuple[str | None, str | None]:
    """Caption bytes as (text, problem): exactly one of them is set."""
    if len(data) > MAX_CAPTION_BYTES:
        return None, "caption_long"
    try:
        return data.decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return None, "caption_not_utf8"
