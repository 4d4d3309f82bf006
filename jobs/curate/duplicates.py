"""Duplicates: the same bytes, or pictures that look the same. Of each group the first stays.

Perceptual duplicates agree in a 64-bit hash of the luminance's shape (up to a few bits) *and* in the
colours of 8x8 cells: flat pictures have like hashes, and only the colours tell a red disc from a blue
one. Each record is compared with the kept records before it, so a chain of small changes does not
pull in pictures that differ. Candidates come from bands of the hash: two hashes that differ in at most
d bits agree wholly in at least one of d + 1 bands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

HASH_BITS = 64
CELL_BYTES = 8 * 8 * 3


def exact_duplicates(checksums: Sequence[str]) -> list[int | None]:
    """For each record the position of the first one with the same checksum, or None for that one."""
    first: dict[str, int] = {}
    found = [first.setdefault(checksum, number) for number, checksum in enumerate(checksums)]
    return [None if position == number else position for number, position in enumerate(found)]


def near_duplicates(
    hashes: Sequence[int],
    colours_nc: npt.NDArray[np.uint8],
    max_distance: int,
    max_colour_difference: float,
) -> list[int | None]:
    """For each record the position of the first kept one that looks the same, or None.

    Args:
        hashes: 64-bit perceptual hashes, in the order that decides who is first.
        colours_nc: colours of the 8x8 cells, one row per record.
        max_distance: bits in which hashes may differ.
        max_colour_difference: steps of 0..255 by which the most different cell may differ, as the mean
            over its channels.
    """
    bands = _bands(max_distance + 1)
    buckets: list[defaultdict[int, list[int]]] = [defaultdict(list) for _ in bands]
    found: list[int | None] = []
    for number, value in enumerate(hashes):
        keys = [(value >> shift) & mask for shift, mask in bands]
        near = {
            other
            for bucket, key in zip(buckets, keys, strict=True)
            for other in bucket.get(key, ())
            if (value ^ hashes[other]).bit_count() <= max_distance
        }
        match = _first_like(number, sorted(near), colours_nc, max_colour_difference)
        found.append(match)
        if match is None:
            for bucket, key in zip(buckets, keys, strict=True):
                bucket[key].append(number)
    return found


def colour_difference(
    one_c: npt.NDArray[np.uint8], others_nc: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """The largest difference of a cell's colour between one picture and each of N others."""
    steps_nc = np.abs(others_nc.astype(np.int16) - one_c.astype(np.int16))
    cells_nc = steps_nc.reshape(len(others_nc), -1, 3).mean(axis=2)
    return np.asarray(cells_nc.max(axis=1), np.float64)


def _bands(count: int) -> list[tuple[int, int]]:
    """(shift, mask) of `count` bands that share out the bits of a hash."""
    edges = [HASH_BITS * number // count for number in range(count + 1)]
    return [(low, (1 << (high - low)) - 1) for low, high in pairwise(edges)]


def _first_like(
    number: int, near: list[int], colours_nc: npt.NDArray[np.uint8], max_difference: float
) -> int | None:
    if not near:
        return None
    like = np.flatnonzero(colour_difference(colours_nc[number], colours_nc[near]) <= max_difference)
    return near[int(like[0])] if len(like) else None
