"""Untrusted picture bytes into upright 8-bit RGB, or a reason why not.

The size in the header is checked before any pixel is allocated, only well-known formats are opened,
and everything a file can be (CMYK, 16 bits, palette, alpha, EXIF rotation) ends as plain RGB.
Moving pictures (GIF, WebP, APNG) are refused: their first frame is often empty. Of multi-page TIFF and
of phone JPEGs with extra pictures (MPO) the first picture is taken, which is the one people see.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000
"""Width times height beyond which a picture is not decoded, where the recipe says nothing."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_ORIENTATION = 0x0112
"""EXIF's tag; 1 is upright."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation; from 5 on width and height change places."""

_MOVING = ("GIF", "WEBP", "PNG")

# `_open` compares the header with its caller's limit, which may lie beyond Pillow's own.
Image.MAX_IMAGE_PIXELS = None


class DecodeError(Exception):
    """A picture that cannot be used: `reason` for the catalogue, `detail` for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture to RGB, upright, with transparency over white.

    Raises:
        DecodeError: with reason `empty_file`, `not_an_image`, `too_many_pixels`, `animated`,
            `truncated`, `corrupt` or `unsupported_mode`.
    """
    with _decoding(data):
        return _to_rgb(_decode(data, max_pixels))


def decode_reduced(data: bytes, side: int, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, int, int]:
    """Decode a picture for looking at it small: every byte is read, but fewer pixels are made.

    Returns:
        The picture as `decode` gives it, or a JPEG at the smallest of the scales that its coding offers whose
        longer side is at least `side` pixels and the shorter a quarter of it, for the last row and column of
        such a scale can lie beyond the picture; and the width and height of the whole picture.
    """
    with _decoding(data):
        picture = _open(data, max_pixels)
        whole = picture.size
        factor = max(1, min(max(whole), 4 * min(whole)) // side)
        picture.draft(None, (max(1, whole[0] // factor), max(1, whole[1] // factor)))
        picture.load()
        orientation = _orientation(picture)
        width, height = whole[::-1] if orientation >= 5 else whole
        return _to_rgb(_turned(picture, orientation)), width, height


def decode_rgba(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture to RGBA, upright, with the transparency it has; see `decode`."""
    with _decoding(data):
        return _to_rgba(_decode(data, max_pixels))


def picture_format(data: bytes) -> str:
    """The file name extension that fits the bytes of a decodable picture, such as `jpg`."""
    if data.startswith(b"\xff\xd8\xff"):  # no need to open what most pictures are
        return "jpg"
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        name = (picture.format or "").lower()
    return {"tiff": "tif"}.get(name, name)


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scale a picture to cover width x height pixels and crop the centre (Lanczos)."""
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


@contextmanager
def _decoding(data: bytes) -> Iterator[None]:
    """Whatever Pillow raises over bytes that nobody vouches for says that they are no good picture."""
    try:
        yield
    except (DecodeError, MemoryError):  # lack of memory says nothing about the file
        raise
    except UnidentifiedImageError as error:
        raise _unidentified(data) from error
    except Exception as error:
        raise _broken(data, error) from error


def _decode(data: bytes, max_pixels: int) -> Image.Image:
    """An upright picture in whatever mode its file has."""
    picture = _open(data, max_pixels)
    picture.load()
    return _turned(picture, _orientation(picture))


def _open(data: bytes, max_pixels: int) -> Image.Image:
    if not data:
        raise DecodeError("empty_file", "0 bytes")
    picture = Image.open(io.BytesIO(data), formats=FORMATS)
    moving = picture.format in _MOVING and bool(getattr(picture, "is_animated", False))
    width, height = picture.size
    if width * height > max_pixels:
        raise DecodeError("too_many_pixels", f"{width}x{height} pixels, the limit is {max_pixels}")
    if moving:
        raise DecodeError("animated", f"{picture.format} with several frames")
    return picture


def _unidentified(data: bytes) -> DecodeError:
    """Why Pillow knew no format: a broken header, or no picture at all."""
    if data.startswith(_MAGIC) or _webp_bytes(data):
        return _broken(data, OSError("the header cannot be read"))
    return DecodeError("not_an_image", f"not one of {', '.join(FORMATS)}")


def _broken(data: bytes, error: Exception) -> DecodeError:
    """Tell a file that was cut off from one that is damaged."""
    declared = _webp_bytes(data)
    if declared > len(data):
        return DecodeError("truncated", f"{len(data)} of {declared} bytes")
    cut_off = "truncated" in str(error) or isinstance(error, EOFError)
    return DecodeError("truncated" if cut_off else "corrupt", _line(error))


def _webp_bytes(data: bytes) -> int:
    """The length that a WebP file declares; 0 for other files."""
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return int.from_bytes(data[4:8], "little") + 8 if is_webp else 0


def _orientation(picture: Image.Image) -> int:
    """1 to 8, as EXIF has it; 1 where it says nothing that can be read."""
    try:
        orientation = picture.getexif().get(_ORIENTATION)
        return orientation if orientation in _TURNS else 1
    except Exception:
        return 1


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    """Upright. Unlike Pillow's own function it writes no EXIF, which may hold what cannot be written."""
    return picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture
    if picture.mode.startswith("I"):
        picture = _from_16_bit(picture)
    try:
        if picture.has_transparency_data:
            layer = picture.convert("RGBA")
            white = Image.new("RGBA", layer.size, "white")
            picture = Image.alpha_composite(white, layer)
        if picture.mode == "F":
            raise ValueError("floating-point samples have no known range")
        return picture.convert("RGB")
    except ValueError as error:
        raise DecodeError("unsupported_mode", f"{picture.mode}: {_line(error)}") from error


def _to_rgba(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or not picture.has_transparency_data:
        return _to_rgb(picture).convert("RGBA")
    try:
        return picture.convert("RGBA")
    except ValueError as error:
        raise DecodeError("unsupported_mode", f"{picture.mode}: {_line(error)}") from error


def _from_16_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits. Pillow's own conversion clips at 255 instead of scaling."""
    samples = np.asarray(picture).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((samples + 128) // 257).astype(np.uint8))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
