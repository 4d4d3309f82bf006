"""The headers of a tar of unknown origin, one after another, and whatever is wrong with it as one error."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Literal


@contextmanager
def open_tar(stream: IO[bytes], mode: Literal["r:", "r|"]) -> Iterator[tarfile.TarFile]:
    """A tar for reading: with `r:` back and forth, with `r|` as a stream.

    Raises:
        tarfile.TarError: the tar is damaged, found here or while it is read within the context.
    """
    try:
        with tarfile.open(fileobj=stream, mode=mode) as tar:
            yield tar
    except (EOFError, ValueError) as error:
        # Such as a map of holes without numbers, or a place before the file's beginning.
        raise tarfile.ReadError(str(error) or "cut off") from error


def iter_headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The headers, in order.

    Raises:
        tarfile.ReadError: a member's size leads backwards, where reading would never end.
    """
    for header in tar:
        if tar.offset <= header.offset:
            raise tarfile.ReadError("a size below nothing")
        yield header
