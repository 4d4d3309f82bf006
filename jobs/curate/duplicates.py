"""Duplicates: the same bytes, pictures that look alike, or that mean the same. The first of a group stays.

Perceptual duplicates agree in a 64-bit hash of the luminance's shape (up to a few bits) *and* in the
colours of 8x8 cells: flat pictures have like hashes, and only the colours tell a red disc from a blue
one. Each record is compared with the kept records before it, so a chain of small changes does not
pull in pictures that differ. Candidates come from bands of the hash (multi-index hashing, Norouzi et al.,
arXiv 1307.2982): hashes that differ in at most d bits differ in at most d / 4 bits of one of four bands.

Duplicates in meaning are found by the cosine of embeddings, block by block: N pictures of width D take
N * N * D / 2 multiplications at most, and N * D half floats of memory beside the blocks. One core compares
some 40 million pairs of width 768 a second: 100,000 pictures of a drop take two minutes, ten times as many
three hours.

Shapes: N pictures, M of them, D width of an embedding, C bytes of the colours of a picture.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

BAND_BITS = 16
BANDS = 4
CELL_BYTES = 8 * 8 * 3

BLOCK = 1024
"""Pictures that are compared with the others at once."""

SLACK = 1e-4
"""Below the limit of a cosine, up to which sums of single floats are added up again exactly: they depend on
how many threads and rows are summed beside them."""

Halves = npt.NDArray[np.float16]
Singles = npt.NDArray[np.float32]


def exact_duplicates(checksums: Sequence[str]) -> list[int | None]:
    """For each record the position of the first one with the same checksum, or None for that one."""
    first: dict[str, int] = {}
    found = [first.setdefault(checksum, number) for number, checksum in enumerate(checksums)]
    return [None if position == number else position for number, position in enumerate(found)]


def near_duplicates(
    hashes: Sequence[int],
    colours_NC: npt.NDArray[np.uint8],
    max_distance: int,
    max_colour_difference: float,
) -> list[int | None]:
    """For each record the position of the first kept one that looks the same, or None.

    Args:
        hashes: 64-bit perceptual hashes, in the order that decides who is first.
        colours_NC: colours of the 8x8 cells, one row per record.
        max_distance: bits in which hashes may differ.
        max_colour_difference: steps of 0..255 by which the most different cell may differ, as the mean
            over its channels.
    """
    flips = _flips(max_distance // BANDS)
    buckets: list[defaultdict[int, list[int]]] = [defaultdict(list) for _ in range(BANDS)]
    found: list[int | None] = []
    for number, value in enumerate(hashes):
        keys = _bands(value)
        near = {
            other
            for bucket, key in zip(buckets, keys, strict=True)
            for flip in flips
            for other in bucket.get(key ^ flip, ())
            if (value ^ hashes[other]).bit_count() <= max_distance
        }
        match = _first_like(number, sorted(near), colours_NC, max_colour_difference)
        found.append(match)
        if match is None:
            for bucket, key in zip(buckets, keys, strict=True):
                bucket[key].append(number)
    return found


def colour_difference(
    one_C: npt.NDArray[np.uint8], others_MC: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """The largest difference of a cell's colour between one picture and each of M others."""
    steps_MC = np.abs(others_MC.astype(np.int16) - one_C.astype(np.int16))
    cells = steps_MC.reshape(len(others_MC), -1, 3).mean(axis=2)
    return np.asarray(cells.max(axis=1), np.float64)


def embedding_duplicates(
    vectors_ND: Halves, min_similarity: float, block: int = BLOCK
) -> list[tuple[int, float] | None]:
    """For each picture the first kept one whose embedding's cosine is at least `min_similarity`, and it.

    Args:
        vectors_ND: embeddings, in the order that decides who is first.
        min_similarity: cosine from which two pictures count as one.
        block: pictures compared at once; changes nothing but the memory taken.
    """
    found: list[tuple[int, float] | None] = []
    kept: list[int] = []
    for start in range(0, len(vectors_ND), block):
        rows = list(range(start, min(start + block, len(vectors_ND))))
        candidates: dict[int, list[int]] = {row: [] for row in rows}
        for row, other in _near_pairs(vectors_ND, rows, [*kept, *rows], min_similarity - SLACK, block):
            candidates[row].append(other)
        for row in rows:
            earlier = (other for other in candidates[row] if other < row and found[other] is None)
            pairs = ((other, cosine(vectors_ND[row], vectors_ND[other])) for other in earlier)
            found.append(next((pair for pair in pairs if pair[1] >= min_similarity), None))
        kept += [row for row in rows if found[row] is None]
    return found


def cosine(one_D: Halves, other_D: Halves) -> float:
    """The cosine of two vectors, the same on every machine: products of half floats are exact in doubles."""
    one, other = one_D.astype(np.float64), other_D.astype(np.float64)
    lengths = math.fsum(one * one) * math.fsum(other * other)
    return math.fsum(one * other) / math.sqrt(lengths) if lengths else 0.0


def _near_pairs(
    vectors_ND: Halves, rows: list[int], others: list[int], limit: float, block: int
) -> Iterator[tuple[int, int]]:
    """Pairs with about this cosine or more; the others of a row in their order."""
    block_MD = _unit(vectors_ND[rows])
    for start in range(0, len(others), block):
        part = others[start : start + block]
        near = np.argwhere(block_MD @ _unit(vectors_ND[part]).T >= limit)
        yield from ((rows[row], part[other]) for row, other in near.tolist())


def _unit(vectors_MD: Halves) -> Singles:
    singles_MD = vectors_MD.astype(np.float32)
    lengths = np.linalg.norm(singles_MD, axis=1, keepdims=True)
    return np.asarray(singles_MD / np.maximum(lengths, np.float32(1e-12)), np.float32)


def _bands(value: int) -> list[int]:
    """The bands of a hash."""
    return [(value >> BAND_BITS * band) & ((1 << BAND_BITS) - 1) for band in range(BANDS)]


@cache
def _flips(reach: int) -> list[int]:
    """What a band is xored with to become each that differs in at most `reach` bits."""
    bits = [1 << bit for bit in range(BAND_BITS)]
    return [sum(chosen) for count in range(reach + 1) for chosen in combinations(bits, count)]


def _first_like(
    number: int, near: list[int], colours_NC: npt.NDArray[np.uint8], max_difference: float
) -> int | None:
    if not near:
        return None
    like = np.flatnonzero(colour_difference(colours_NC[number], colours_NC[near]) <= max_difference)
    return near[int(like[0])] if len(like) else None
