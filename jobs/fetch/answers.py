"""What a server's answer says: its status, whether the picture may be used, and what kind of file it is."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterable, Mapping

from jobs.fetch.outcome import RefusedError, TroubleError

AGENT = "nextscale"
"""Our name to servers, as it stands in User-Agent and may stand in X-Robots-Tag."""

_GONE = frozenset({404, 410})
_FORBIDDEN = frozenset({401, 402, 403, 451})
_LATER = frozenset({408, 425, 429})

_NO_AI = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
_WITH_VALUES = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
"""Directives with a colon of their own, which are no agent's name."""

_NAME = re.compile(r"[a-z*][\w*-]*")

_VAGUE = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/binary"})
"""Content types that say nothing; the bytes decide."""

_MAGIC = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
}
HEAD_BYTES = 16
"""Bytes of a file that tell its format."""


def check_status(status: int, headers: Mapping[str, str]) -> None:
    """Nothing for a picture that comes.

    Raises:
        RefusedError: the server has none for us.
        TroubleError: it may have one later.
    """
    if status == 200:
        return
    detail = f"HTTP {status}"
    if status in _LATER or status >= 500:
        reason = "server_error" if status >= 500 else "busy"
        raise TroubleError(reason, detail, status, retry_after(headers.get("Retry-After")))
    reason = "gone" if status in _GONE else "forbidden" if status in _FORBIDDEN else "http_status"
    raise RefusedError(reason, detail, status)


def header_text(headers: Mapping[str, str], name: str) -> str:
    """A header in lower case, as text that can be stored: its bytes need not be any."""
    return headers.get(name, "").encode("utf-8", "replace").decode().strip().lower()


def check_robots(tags: Iterable[str], status: int) -> None:
    """Nothing for a picture whose X-Robots-Tag headers let us use it.

    Raises:
        RefusedError: `noai`.
    """
    for tag in tags:
        agent = ""
        for part in tag.lower().split(","):
            name, colon, rest = part.partition(":")
            # An agent's name holds for all that follows it in the header.
            if colon and _NAME.fullmatch(name.strip()) and name.strip() not in _WITH_VALUES:
                agent, part = name.strip(), rest
            if agent in ("", "*", AGENT) and part.strip() in _NO_AI:
                raise RefusedError("noai", f"X-Robots-Tag: {part.strip()}", status)


def check_type(content_type: str, encoding: str, status: int) -> None:
    """Nothing for what may be a picture.

    Raises:
        RefusedError: `not_a_picture`.
    """
    if encoding not in ("", "identity"):
        raise RefusedError("not_a_picture", f"content encoding {encoding[:40]}, not asked for", status)
    picture = content_type.startswith("image/") and content_type != "image/svg+xml"
    if not picture and content_type not in _VAGUE:
        raise RefusedError("not_a_picture", f"content type {content_type[:80]}", status)


def suffix_of(head: bytes, status: int) -> str:
    """The file name extension that fits a file's first bytes.

    Raises:
        RefusedError: `not_a_picture`, by what curation can read.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    for magic, suffix in _MAGIC.items():
        if head.startswith(magic):
            return suffix
    raise RefusedError("not_a_picture", "no known picture format" if head else "no bytes", status)


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, in seconds or as a date; None where it asks nothing."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, date.timestamp() - time.time())
