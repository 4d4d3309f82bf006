"""Headers of tars that no writer makes: sizes below nothing, and maps of holes that are none."""

from __future__ import annotations

import tarfile
from collections.abc import Callable


def negative_size(name: str) -> bytes:
    """A header whose size is -2048, in base 256."""
    return _with_size(tarfile.TarInfo(name), -2048)


def negative_sparse_size(name: str) -> bytes:
    """A sparse file in GNU's old way: its size on the tape is negative, the one when unpacked is not."""
    header = tarfile.TarInfo(name)
    header.type = tarfile.GNUTYPE_SPARSE
    return _with_size(header, -2048, unpacked=10)


def bad_sparse_map(name: str) -> bytes:
    """A PAX header whose map of holes has no numbers."""
    header = tarfile.TarInfo(name)
    header.pax_headers = {"GNU.sparse.map": "x,y"}
    return header.tobuf(tarfile.PAX_FORMAT)


def _with_size(header: tarfile.TarInfo, size: int, unpacked: int | None = None) -> bytes:
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
    if unpacked is not None:
        block[483:495] = f"{unpacked:011o}\0".encode()
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


CRAFTED: dict[str, Callable[[str], bytes]] = {
    "negative size": negative_size,
    "negative sparse size": negative_sparse_size,
    "bad sparse map": bad_sparse_map,
}
