"""Texts in `.jsonl` files, one JSON object a line, also compressed as `.zst` or `.gz`: any such file, and
Nemotron-CC's. Lines are read one at a time, and no line beyond the limit is held."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa

from infra import storage
from infra.storage import FileInfo
from jobs.recipe.sources import NemotronCcSource, TextJsonlSource
from jobs.sources import TextRecord
from jobs.sources.shards import Shard

WANTED = ".jsonl files"

_CODECS = {".jsonl": None, ".jsonl.zst": "zstd", ".jsonl.gz": "gzip", ".json.gz": "gzip"}
_CHUNK = 1 << 20
_ESCAPES = 6
"""JSON may take so many bytes for one of the text."""


def list_shards(_source: TextJsonlSource | NemotronCcSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per file."""
    found = [file for file in files if _codec(file.uri) is not _UNKNOWN]
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(found)]


def read(
    source: TextJsonlSource | NemotronCcSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[TextRecord]:
    """The records of a file, line by line. Damage is one `damaged` record that ends the file."""
    key = source.text_key if isinstance(source, TextJsonlSource) else "text"
    uri = shard.files[0].uri
    number = 0
    try:
        with storage.open_input(uri) as raw:
            for line in _lines(_plain(raw, uri), _ESCAPES * max_bytes):
                place = f"{uri}#{number:09d}"
                number += 1
                if (line is None or line.strip()) and (wanted is None or place in wanted):
                    yield _record(place, line, key, max_bytes)
    except (pa.ArrowException, OSError, EOFError) as error:
        detail = f"not readable from line {number} on: {' '.join(str(error).split())[:200]}"
        yield TextRecord(f"{uri}#{number:09d} damaged", reason="damaged", detail=detail)


def _record(place: str, line: bytes | None, key: str, max_bytes: int) -> TextRecord:
    if line is None:
        return TextRecord(place, reason="too_many_bytes", detail=f"the limit is {max_bytes}")
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return TextRecord(place, reason="not_json", detail=" ".join(str(error).split())[:200])
    text = value.get(key) if isinstance(value, dict) else None
    if not isinstance(text, str):
        return TextRecord(place, reason="no_text", detail=f"no text in {key!r}")
    return checked(place, text, max_bytes)


def checked(place: str, text: str, max_bytes: int, subset: str = "") -> TextRecord:
    """A text that can be stored as UTF-8 and is not too long, or why not."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return TextRecord(place, subset=subset, reason="not_utf8", detail="half of a surrogate pair")
    if size > max_bytes:
        detail = f"{size} bytes, the limit is {max_bytes}"
        return TextRecord(place, subset=subset, reason="too_many_bytes", detail=detail)
    return TextRecord(place, text, subset=subset)


def _lines(stream: IO[bytes], limit: int) -> Iterator[bytes | None]:
    """Lines without their ends; None for one beyond the limit, which is read past in pieces."""
    while line := stream.readline(limit + 1):
        if line.endswith(b"\n") or len(line) <= limit:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_CHUNK)
        yield None


def _plain(raw: Any, uri: str) -> IO[bytes]:
    """The decompressed bytes of a file, buffered."""
    codec = _codec(uri)
    stream = pa.CompressedInputStream(pa.PythonFile(raw, "r"), codec) if codec else raw
    return io.BufferedReader(_Raw(stream), _CHUNK)


class _Raw(io.RawIOBase):
    """Any stream with `read` as one that can be buffered."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


_UNKNOWN = object()


def _codec(uri: str) -> Any:
    """How a file is compressed, None where it is not, _UNKNOWN for a file of another kind."""
    return next((codec for suffix, codec in _CODECS.items() if uri.endswith(suffix)), _UNKNOWN)
