"""The elements of a large JSON array, one at a time, each with the byte where it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

MAX_ELEMENT_BYTES = 8 << 20
"""A longer element ends the file as damage: no more than this, and a block, is held."""

_BLOCK = 1 << 20
_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


class DamagedError(Exception):
    """What follows in the file is no JSON array; `offset` is where reading stopped."""

    def __init__(self, problem: str, offset: int) -> None:
        super().__init__(problem, offset)
        self.problem = problem
        self.offset = offset


@dataclass(frozen=True)
class Element:
    """One element: the byte in the file where it starts, and its value."""

    offset: int
    value: Any


def iter_elements(stream: IO[bytes]) -> Iterator[Element]:
    """The elements of the array that a file holds, in order.

    Raises:
        DamagedError: the file is no array, is cut off, or has an element beyond `MAX_ELEMENT_BYTES`.
    """
    text = _Text(stream, 0)
    if text.skip_to() != "[":
        raise DamagedError("no JSON array", 0)
    text.position += 1
    yield from _elements(text)


def iter_elements_from(stream: IO[bytes], offset: int) -> Iterator[Element]:
    """The elements from one on that `iter_elements` found at `offset`.

    Raises:
        DamagedError: as there.
    """
    stream.seek(offset)
    yield from _elements(_Text(stream, offset))


def _elements(text: _Text) -> Iterator[Element]:
    while (character := text.skip_to()) != "]":
        if not character:
            raise DamagedError("cut off", text.offset)
        offset = text.offset
        yield Element(offset, text.take_value(offset))
        following = text.skip_to()
        if following not in (",", "]"):
            raise DamagedError("cut off" if not following else "no comma between elements", text.offset)
        text.position += following == ","


class _Text:
    """The part of a file that is looked at, a character for each byte.

    Bytes are read as Latin-1, so that positions are bytes; those of UTF-8 beyond ASCII are part of
    strings only, and are put right when a value is taken.
    """

    def __init__(self, stream: IO[bytes], start: int) -> None:
        self._stream = stream
        self._start = start
        self._buffer = ""
        self.position = 0

    @property
    def offset(self) -> int:
        """The byte in the file at the position."""
        return self._start + self.position

    def skip_to(self) -> str:
        """Move on to the next character that is no space, and give it; empty at the end of the file."""
        while True:
            while self.position < len(self._buffer):
                character = self._buffer[self.position]
                if character not in _SPACE and not (self.offset < 3 and character in "\xef\xbb\xbf"):
                    return character
                self.position += 1
            if not self._more():
                return ""

    def take_value(self, offset: int) -> Any:
        """The value at the position, which moves behind it."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self._buffer, self.position)
                # A value at the very end of what was read may go on, as numbers do.
                if end < len(self._buffer):
                    break
            except (ValueError, RecursionError):
                pass
            if len(self._buffer) - self.position > MAX_ELEMENT_BYTES:
                raise DamagedError(f"no JSON within {MAX_ELEMENT_BYTES} bytes", offset)
            if not self._more():
                raise DamagedError("no JSON, or cut off", offset)
        data = self._buffer[self.position : end].encode("latin-1")
        self.position = end
        try:
            return json.loads(data)
        except ValueError as error:
            raise DamagedError("not UTF-8", offset) from error

    def _more(self) -> bool:
        """Read a block, and let go of what lies behind."""
        block = self._stream.read(_BLOCK)
        self._buffer = self._buffer[self.position :] + block.decode("latin-1")
        self._start += self.position
        self.position = 0
        return bool(block)
