"""Lines of a text file, plain or compressed, of which no more than a limit is held."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pyarrow as pa

from infra import storage

CODECS = {".jsonl": None, ".jsonl.zst": "zstd", ".jsonl.gz": "gzip"}
"""How a file is compressed, by the end of its name."""

_CHUNK = 1 << 20


def iter_lines(uri: str, limit: int) -> Iterator[bytes | None]:
    """The lines of a file, without their ends; None for one of more than `limit` bytes.

    Raises:
        OSError: the file is damaged.
    """
    codec = next(codec for suffix, codec in CODECS.items() if uri.endswith(suffix))
    with storage.open_input(uri) as raw:
        stream = io.BufferedReader(pa.CompressedInputStream(raw, codec)) if codec else raw
        while line := stream.readline(limit + 1):
            whole = line.endswith(b"\n") or len(line) <= limit
            yield line.rstrip(b"\r\n") if whole else None
            while not whole:
                rest = stream.readline(_CHUNK)
                whole = not rest or rest.endswith(b"\n")
