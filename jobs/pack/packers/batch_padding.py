"""Batch padding: no packing at all, the common baselines. Documents are padded to the longest of a batch.

Most often a batch has a fixed number of documents: the largest for which even a batch of the longest
stays within the token cap. With a variable number a batch is as large as its own documents allow.
"""

from __future__ import annotations

import numpy as np

from jobs.pack.columns import Columns, Floats, Ints
from jobs.pack.packers.limits import Limits, require_fit


def batch_padding(documents: Columns, limits: Limits) -> Ints:
    """Documents in order, so many to a batch that padding to the longest of all would still fit.

    Raises:
        ValueError: a document alone exceeds the token cap.
    """
    require_fit(documents, Limits(limits.tokens, np.inf))
    longest = max(1, int(documents.tokens.max(initial=1)))
    return np.arange(len(documents)) // (limits.tokens // longest)


def padding_to_cap(documents: Columns, limits: Limits) -> Ints:
    """Documents in order, as many to a batch as fit when all are padded to its longest.

    Raises:
        ValueError: a document alone exceeds the token cap.
    """
    require_fit(documents, Limits(limits.tokens, np.inf))
    batch, number, held, longest = [], 0, 0, 0
    for tokens in documents.tokens.tolist():
        held, longest = held + 1, max(longest, tokens)
        if held * longest > limits.tokens:
            number, held, longest = number + 1, 1, tokens
        batch.append(number)
    return np.array(batch, np.int64)


def padded(sizes: Floats, pack: Ints) -> Floats:
    """What each batch executes: its largest document's size, as many times as it has documents."""
    largest = np.zeros(int(pack.max(initial=-1)) + 1)
    np.maximum.at(largest, pack, sizes)
    return largest * np.bincount(pack, minlength=len(largest))
