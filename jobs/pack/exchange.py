"""Files of chunks: how units of one step hand their records to units of the next.

Each unit writes one file with a chunk for each unit of the next step, which reads its own from all of
them: a shuffle in which nobody holds more than its share. A file is the ends of its chunks as
little-endian int64, then the chunks. Intermediate: they lie in `work/` until the output is finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from infra import storage
from infra.errors import UserError
from infra.manifest import Output
from jobs.pack.sorting import order_of

WORK = "work"
"""Folder of intermediate files below an output."""

_END = 8
"""Bytes of one end in a file's head."""

Records = npt.NDArray[Any]


def work_file(name: str) -> str:
    """The path of an intermediate file, relative to its output."""
    return f"{WORK}/{name}"


def publish_chunks(output: Output, name: str, chunks: Sequence[bytes | memoryview]) -> None:
    """Publish an intermediate file of chunks. It has no checksum: it does not last."""
    ends = np.array([0, *accumulate(len(chunk) for chunk in chunks)], "<i8")
    storage.publish_parts(storage.join(output.uri, work_file(name)), [ends.tobytes(), *chunks])


def read_chunks(output: Output, name: str, first: int, last: int, count: int) -> bytes:
    """The chunks `first` to `last` (not included) of a file that has `count`, as one.

    Raises:
        UserError: the file is gone, or not what was published.
    """
    uri = storage.join(output.uri, work_file(name))
    head = storage.read_range(uri, _END * first, _END * (last - first + 1))
    if len(head) != _END * (last - first + 1):
        raise _damaged(uri)
    start, end = (int(value) for value in np.frombuffer(head, "<i8")[[0, -1]])
    data = storage.read_range(uri, _END * (count + 1) + start, end - start) if start < end else b""
    if not 0 <= start <= end or len(data) != end - start:
        raise _damaged(uri)
    return data


def to_chunks(records: Records, owner: npt.NDArray[Any], count: int) -> list[memoryview]:
    """Records by their owner, 0 to `count` (not included), each chunk in the order given."""
    order = order_of(owner, count)
    ends = np.cumsum(np.bincount(owner, minlength=count)) * records.itemsize
    data = to_bytes(records.take(order))  # which copies records far faster than `records[order]` does
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def to_bytes(records: Records) -> memoryview:
    """The bytes of contiguous records, not copied."""
    return records.view(np.uint8).data


def read_records(
    output: Output, names: Sequence[str], chunk: int, count: int, dtype: np.dtype[Any]
) -> Iterator[Records]:
    """One chunk of each file, as records.

    Raises:
        UserError: a file is gone, or not what was published.
    """
    for name in names:
        yield as_records(read_chunks(output, name, chunk, chunk + 1, count), dtype, output)


def as_records(data: bytes, dtype: np.dtype[Any], output: Output) -> Records:
    """Bytes as records.

    Raises:
        UserError: they are no whole number of records.
    """
    if len(data) % dtype.itemsize:
        raise _damaged(storage.join(output.uri, WORK))
    return np.frombuffer(data, dtype)


def _damaged(uri: str) -> UserError:
    return UserError("an intermediate file is damaged", uri, "Remove the output's folder and run again")
