"""What a maker of edits hands over, or why it cannot."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

_QUALITY = 95


@dataclass(frozen=True)
class Made:
    """An edit as encoded pictures, before and after."""

    before: bytes
    after: bytes
    instruction: str
    parents: tuple[int, ...]
    """Sample ids of the curated pictures it is made from."""
    truth: str | None = None


class CannotEditError(Exception):
    """No edit of this task can be made of this picture: `reason` for the catalogue, `detail` for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def encode(image: Image.Image, suffix: str = "png") -> bytes:
    """Encode a picture that is new, without loss, or almost: PNG, but JPEG of quality 95 with all of its
    colour (4:4:4) where `suffix` says that what it was made from had been compressed with loss."""
    buffer = io.BytesIO()
    if suffix in ("jpg", "webp"):
        image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    else:
        image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def within(image: Image.Image, max_side: int) -> Image.Image:
    """The picture, scaled down to at most `max_side` pixels a side."""
    if max(image.size) <= max_side:
        return image
    smaller = image.copy()
    smaller.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return smaller
