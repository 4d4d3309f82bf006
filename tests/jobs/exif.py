"""EXIF blocks that tell a rotation and hold a tag of a type that it may not have."""

from __future__ import annotations

import struct

ASCII, RATIONAL, FLOAT = 2, 5, 11
"""Types of TIFF 6.0, section 2."""

ODD_TAGS = {
    "x_resolution_ascii": (0x011A, ASCII, b"72\0\0"),
    "copyright_rational": (0x8298, RATIONAL, struct.pack("<II", 1, 3)),
    "make_float": (0x010F, FLOAT, struct.pack("<f", 1.5)),
    "resolution_unit_rational": (0x0128, RATIONAL, struct.pack("<II", 2, 1)),
    "resolution_unit_ascii": (0x0128, ASCII, b"2\0\0\0"),
    "resolution_unit_float": (0x0128, FLOAT, struct.pack("<f", 2.0)),
    "image_width_ascii": (0x0100, ASCII, b"20\0\0"),
}

_SIZES = {ASCII: 1, RATIONAL: 8, FLOAT: 4}


def odd_exif(name: str, orientation: int = 6) -> bytes:
    """The block for JPEG's APP1, with one of ODD_TAGS."""
    tag, kind, value = ODD_TAGS[name]
    behind = 8 + 2 + 2 * 12 + 4
    place = value if len(value) <= 4 else struct.pack("<I", behind)
    entries = sorted(
        [
            struct.pack("<HHI", 0x0112, 3, 1) + struct.pack("<HH", orientation, 0),
            struct.pack("<HHI", tag, kind, len(value) // _SIZES[kind]) + place,
        ],
        key=lambda entry: struct.unpack("<H", entry[:2]),
    )
    directory = struct.pack("<H", 2) + b"".join(entries) + struct.pack("<I", 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory + (value if len(value) > 4 else b"")
