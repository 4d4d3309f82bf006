"""Second step: one window's documents, those that no pack can hold set apart, the others in cut order.

A window's file has a chunk for each family and range of cut keys, then one of rejected documents, then
the tokens in each range. So whoever cuts the mixture reads sums, and only the ranges it cuts through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.manifest import Receipt
from jobs.pack.columns import FAMILIES, Ints, Keys
from jobs.pack.exchange import as_records, publish_chunks, read_chunks, read_records, to_chunks
from jobs.pack.packers import Limits
from jobs.pack.records import DOCUMENT, Records, join, reason_code
from jobs.pack.sorting import order_of_keys
from jobs.pack.steps import Context, receipt, unit_name
from jobs.units import Unit

RANGES = 1024
"""Ranges of cut keys."""
REJECTED = len(FAMILIES) * RANGES
_SUMS = REJECTED + 1
CHUNKS = REJECTED + 2


@dataclass(frozen=True)
class Measure:
    """A window to measure. Documents that cost more than `limits` are rejected."""

    context: Context
    window: int
    limits: Limits


def measure(unit: Unit[Measure]) -> Receipt:
    """Publish a window's documents in cut order, with reasons for those that cannot be packed."""
    context = unit.payload.context
    names = [unit_name("scatter", number) for number in range(context.scatters)]
    read = read_records(context.output, names, unit.payload.window, context.windows, DOCUMENT)
    documents = join(read, DOCUMENT)
    keys = context.cut_keys(documents["id"])
    # Stable, so the first of several in the order of files and rows stays the first.
    order = order_of_keys(keys)
    documents, keys = documents.take(order), keys[order]
    _reject(documents, keys, context, unit.payload.limits)
    usable = documents["reason"] == 0
    owner = np.where(usable, documents["family"].astype(np.int64) * RANGES + range_of(keys), REJECTED)
    tokens = np.bincount(owner, documents["tokens"], minlength=REJECTED + 1)[:REJECTED].astype("<i8")
    chunks = to_chunks(documents, owner, REJECTED + 1)
    publish_chunks(context.output, unit.name, [*chunks, tokens.tobytes()])
    return receipt(unit.name)


def range_of(keys: Keys) -> Ints:
    """The range of each cut key."""
    return (keys >> np.uint64(64 - RANGES.bit_length() + 1)).astype(np.int64)


def read_window(context: Context, window: int) -> Records:
    """All documents of a measured window, in an order that is a function of their content."""
    name = unit_name("measure", window)
    data = read_chunks(context.output, name, 0, _SUMS, CHUNKS)
    return as_records(data, DOCUMENT, context.output)


def read_sums(context: Context, window: int) -> Ints:
    """Usable tokens of a measured window, by family (rows) and range of cut keys."""
    data = read_chunks(context.output, unit_name("measure", window), _SUMS, CHUNKS, CHUNKS)
    return as_records(data, np.dtype("<i8"), context.output).reshape(len(FAMILIES), RANGES)


def read_range(context: Context, window: int, family: int, number: int) -> Records:
    """Usable documents of one family and range of cut keys."""
    name, chunk = unit_name("measure", window), family * RANGES + number
    return join(read_records(context.output, [name], chunk, CHUNKS, DOCUMENT), DOCUMENT)


def _reject(documents: Records, keys: Keys, context: Context, limits: Limits) -> None:
    """Give a reason to the documents that no pack can hold. They are ordered by keys, one for each id."""
    cost = context.cost.of(documents["tokens"], documents["pairs"])
    # The last to be written is the one that stays.
    documents["reason"][cost > limits.cost] = reason_code("over_budget")
    documents["reason"][documents["tokens"] > limits.tokens] = reason_code("over_token_cap")
    documents["reason"][documents["tokens"] < 1] = reason_code("empty")
    doubled = np.flatnonzero(keys[1:] == keys[:-1]) + 1
    documents["reason"][doubled] = reason_code("duplicate")
