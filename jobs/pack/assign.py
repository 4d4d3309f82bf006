"""Third step: which pack each document of a window is in. Windows are planned apart from each other.

All windows aim at one compute budget, so packs of any window can train in one step. A window is a
random share of everything and fills its packs with what it has; nothing is handed to another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from infra import storage
from infra.manifest import Receipt
from jobs.pack.columns import FAMILIES, Columns, Ints, Keys, make_salt, shuffle_keys
from jobs.pack.exchange import (
    as_records,
    publish_chunks,
    read_chunks,
    read_records,
    to_bytes,
    to_chunks,
    work_file,
)
from jobs.pack.measure import read_window
from jobs.pack.mixture import Cut, copies_of
from jobs.pack.packers import PACKERS, Limits
from jobs.pack.records import PLACE, SUMMARY, Records, reason_code
from jobs.pack.sorting import order_of, order_of_keys
from jobs.pack.steps import Context, receipt, unit_name
from jobs.units import Unit

FILES = "files.parquet"
"""Intermediate: the label of each token file, and the group it is split with."""
FORGOTTEN = "forgotten"
"""Intermediate: the ids that no pack may hold."""

_FATES = tuple(map(np.dtype, ("<i4", "u1", "<i4", "<i4")))
"""What became of a window's documents: their order by source, reasons, numbers of packs, and the packs."""


@dataclass(frozen=True)
class Assign:
    """A window to plan."""

    context: Context
    window: int
    limits: Limits
    packer: str
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class Copies:
    """The times that documents are packed, in shuffled order: which document, and its how-manieth time."""

    document: Ints
    repeat: Ints
    key: Keys


def assign(unit: Unit[Assign]) -> Receipt:
    """Publish a window's plan: places by the group of their token file, fates, packs, and their summary."""
    task = unit.payload
    context = task.context
    documents = read_window(context, task.window)
    copies = _copies(documents, copies_of(documents, context.cut_keys(documents["id"]), task.cuts), context)
    chosen = documents.take(copies.document)
    columns = context.cost.columns(chosen)
    pack = _packs(columns, copies, task)
    (forgotten,) = read_records(context.output, [FORGOTTEN], 0, 1, np.dtype("<u8"))
    reason, stays = _leave_out(documents, copies, forgotten)
    summary = _summary(columns, pack, stays)
    places = _places(chosen, copies, pack, stays, len(summary))
    chunks = to_chunks(places, _groups(context)[places["file"]], context.splits)
    order = _order_by_source(documents)
    fates = [order.astype("<i4"), reason[order], *_packs_of(order, copies.document[stays], pack[stays])]
    publish_chunks(context.output, unit.name, [*chunks, *map(to_bytes, fates), to_bytes(summary)])
    return receipt(unit.name, packs=len(summary))


def read_places(context: Context, window: int, group: int) -> Records:
    """The places of a planned window that rows of one group of token files have."""
    return as_records(_chunk(context, window, group), PLACE, context.output)


def read_fates(context: Context, window: int) -> tuple[Records, Ints, Ints]:
    """The documents of a planned window ordered by source, each with its reason; in how many packs each is;
    and these packs, counted in the window."""
    order, reason, times, packs = (
        as_records(_chunk(context, window, context.splits + n), dtype, context.output)
        for n, dtype in enumerate(_FATES)
    )
    documents = read_window(context, window).take(order)
    documents["reason"] = reason
    return documents, times, packs


def read_summary(context: Context, window: int) -> Records:
    """A summary of each pack of a planned window, in order."""
    return as_records(_chunk(context, window, context.splits + len(_FATES)), SUMMARY, context.output)


def pack_window(documents: Columns, limits: Limits, packer: str) -> Ints:
    """The pack of each document, in their order; one that no budget holds has a pack to itself."""
    alone = documents.cost > limits.cost
    pack = np.empty(len(documents), np.int64)
    pack[~alone] = PACKERS[packer](documents.take(~alone), limits)
    pack[alone] = pack[~alone].max(initial=-1) + 1 + np.arange(alone.sum())
    return pack


def _chunk(context: Context, window: int, number: int) -> bytes:
    name = unit_name("assign", window)
    return read_chunks(context.output, name, number, number + 1, context.splits + len(_FATES) + 1)


def _groups(context: Context) -> Ints:
    """The group of each token file."""
    with storage.open_input(storage.join(context.output.uri, work_file(FILES))) as stream:
        found: Ints = pq.ParquetFile(stream).read(columns=["group"], use_threads=False)["group"].to_numpy()
    return found


def _copies(documents: Records, times: Ints, context: Context) -> Copies:
    """Each document as many times as it is packed, shuffled."""
    document = np.repeat(np.arange(len(documents)), times)
    repeat = np.arange(len(document)) - np.repeat(np.cumsum(times) - times, times)
    salts = [make_salt(context.seed, "documents", r) for r in range(int(times.max(initial=0)))]
    key = shuffle_keys(documents["id"][document], np.array(salts, np.uint64)[repeat])
    order = order_of_keys(key)
    return Copies(document[order], repeat[order], key[order])


def _packs(documents: Columns, copies: Copies, task: Assign) -> Ints:
    """The pack of each copy. Packs are numbered at random, for packers that sort make neighbours alike."""
    pack = pack_window(documents, task.limits, task.packer)
    first = np.zeros(int(pack.max(initial=-1)) + 1, np.int64)
    first[pack[::-1]] = np.arange(len(pack))[::-1]  # the first of several is written last
    keys = shuffle_keys(copies.key[first], make_salt(task.context.seed, "packs"))
    number = np.empty(len(first), np.int64)
    number[order_of_keys(keys)] = np.arange(len(first))
    return number[pack]


def _leave_out(
    documents: Records, copies: Copies, forgotten: Keys
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Why each document is in no pack; the copies that stay. The plan itself knows of none forgotten."""
    packed = np.zeros(len(documents), bool)
    packed[copies.document] = True
    unwanted = packed & np.isin(documents["id"], forgotten)
    reason = documents["reason"].copy()
    reason[~packed & (reason == 0)] = reason_code("over_mixture")
    reason[unwanted] = reason_code("forgotten")
    return reason, ~unwanted[copies.document]


def _places(chosen: Records, copies: Copies, pack: Ints, stays: npt.NDArray[np.bool_], packs: int) -> Records:
    """Where the copies that stay go: packs in order, in each the shuffled order."""
    order = order_of(pack, packs)
    order = order[stays[order]]
    ordered = chosen.take(order)
    places = np.zeros(len(order), PLACE)
    places["file"], places["row"] = ordered["file"], ordered["row"]
    places["pack"], places["repeat"] = pack[order], copies.repeat[order]
    places["place"] = np.arange(len(order))
    return places


def _order_by_source(documents: Records) -> Ints:
    """The order by file and then id."""
    by_id = order_of_keys(documents["id"])
    files = documents["file"][by_id]
    return by_id[order_of(files, int(files.max(initial=0)) + 1)]


def _packs_of(order: Ints, document: Ints, pack: Ints) -> tuple[Ints, Ints]:
    """How many packs each document is in, documents in `order`; and which, ascending in each.

    Args:
        order: of the documents.
        document: of each copy.
        pack: of each copy.
    """
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    place = (rank[document] << 32) | pack
    place.sort()
    times = np.bincount(place >> 32, minlength=len(order))
    return times.astype("<i4"), (place & 0xFFFFFFFF).astype("<i4")


def _summary(documents: Columns, pack: Ints, stays: npt.NDArray[np.bool_]) -> Records:
    """What each pack holds; numbers of packs that lost every document stay, so that no other's changes."""
    summary = np.zeros(int(pack.max(initial=-1)) + 1, SUMMARY)
    documents, pack = documents.take(stays), pack[stays]
    summary["cost"] = np.bincount(pack, documents.cost, len(summary))
    summary["documents"] = np.bincount(pack, minlength=len(summary))
    for code in range(len(FAMILIES)):
        mine = documents.family == code
        summary["tokens"][:, code] = np.bincount(pack[mine], documents.tokens[mine], len(summary))
    return summary
