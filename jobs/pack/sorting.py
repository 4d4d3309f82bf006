"""Stable orders, found fast: numpy sorts numbers far faster than it finds the order that sorts them.

Shapes: N things to be put in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.pack.columns import Floats, Ints, Keys


def order_of(owner_N: npt.NDArray[Any], count: int) -> Ints:
    """The order that sorts by numbers from 0 to `count` (not included); equal ones stay in order."""
    # numpy sorts 16-bit integers by radix, which is far faster.
    return np.argsort(owner_N.astype(np.uint16) if count <= 1 << 16 else owner_N, kind="stable")


def order_of_keys(keys_N: Keys) -> Ints:
    """The order that sorts by 64-bit keys; equal ones stay in order."""
    bits = np.uint64(len(keys_N).bit_length())
    low = (np.uint64(1) << bits) - np.uint64(1)
    # Each number is the first bits of a key, then the place it comes from.
    packed_N = np.sort((keys_N & ~low) | np.arange(len(keys_N), dtype=np.uint64))
    order_N = (packed_N & low).astype(np.int64)
    found_N = keys_N[order_N]
    if (found_N[1:] < found_N[:-1]).any():  # two keys with the same first bits, the later one smaller
        return np.argsort(keys_N, kind="stable")
    return order_N


def order_of_numbers(numbers_N: Floats) -> Ints:
    """The order that sorts by floating-point numbers; equal ones stay in order."""
    # Their bits sort as whole numbers do once all bits of the negative ones and the sign of the others are
    # flipped. Adding zero makes the negative zero positive.
    bits_N = (numbers_N + 0.0).view(np.int64)
    flipped_N = (bits_N >> 63).view(np.uint64) | np.uint64(1 << 63)
    return order_of_keys(bits_N.view(np.uint64) ^ flipped_N)
