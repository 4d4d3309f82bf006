"""Stable orders, found fast on any processor: by radix, which numpy does for 16-bit integers alone.

Its sorts of wider ones depend on the processor: with AVX-512 on some they are slower than without.

Shapes: N things to be put in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.pack.columns import Floats, Ints, Keys


def order_of(owner_N: npt.NDArray[Any], count: int) -> Ints:
    """The order that sorts by numbers from 0 to `count` (not included); equal ones stay in order."""
    return np.argsort(owner_N.astype(np.uint16) if count <= 1 << 16 else owner_N, kind="stable")


def order_of_keys(keys_N: Keys) -> Ints:
    """The order that sorts by 64-bit keys; equal ones stay in order."""
    words_N4 = keys_N.astype("<u8").view("<u2").reshape(-1, 4)
    order_N = np.argsort(words_N4[:, 1], kind="stable")
    for word in (2, 3):
        order_N = order_N.take(np.argsort(words_N4[:, word].take(order_N), kind="stable"))
    found_N = keys_N.take(order_N)
    if (found_N[1:] < found_N[:-1]).any():  # two keys differ in their last 16 bits only
        return np.argsort(keys_N, kind="stable")
    return order_N


def order_of_numbers(numbers_N: Floats) -> Ints:
    """The order that sorts by floating-point numbers; equal ones stay in order."""
    # Their bits sort as whole numbers do once all bits of the negative ones and the sign of the others are
    # flipped. Adding zero makes the negative zero positive.
    bits_N = (numbers_N + 0.0).view(np.int64)
    flipped_N = (bits_N >> 63).view(np.uint64) | np.uint64(1 << 63)
    return order_of_keys(bits_N.view(np.uint64) ^ flipped_N)
