"""Captioned pictures of filtered drops, small: the thumbnails that scoring stored, in memory.

Shapes: N pictures, B of them, H W pixels, T positions of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from infra import storage
from infra.manifest import read_table
from jobs.curate.stage import CATALOGUE, kept_rows
from jobs.curate.thumbnails import read_thumbnails
from jobs.images import fit
from model.semantic import text_ids
from model.text import TextTokenizer


@dataclass(frozen=True)
class Drop:
    """Folders of a finished drop: `t2i/filtered` says what stays, `t2i/scored` has the thumbnails."""

    filtered: str
    scored: str


@dataclass(frozen=True)
class Captioned:
    """The pictures to use, a row each in the order of sample ids, and what became of the others."""

    rows: pa.Table
    """Columns `sample_id`, `folder` (of the scores), `shard`, `source`, `caption`."""
    no_caption: int
    beyond_limit: int


def find_captioned(drops: Sequence[Drop], limit: int) -> Captioned:
    """The filtered pictures of drops that have a caption; of many, the smallest ids.

    The order of the drops changes nothing.
    """
    kept = pa.concat_tables([_catalogue(drop) for drop in drops])
    captioned = kept.filter(pc.not_equal(pc.utf8_trim_whitespace(kept["caption"]), ""))
    rows = captioned.sort_by([("sample_id", "ascending"), ("source", "ascending")])
    used = rows.slice(0, limit)
    return Captioned(used, len(kept) - len(rows), len(rows) - len(used))


@dataclass(frozen=True)
class Pairs:
    """Pictures with their captions."""

    pixels_NCHW: Tensor
    """Bytes."""
    ids_NT: Tensor
    captions: Sequence[str]

    def images(self, numbers: Sequence[int]) -> Tensor:
        """Some of the pictures as [B, 3, H, W] in [-1, 1]."""
        return self.pixels_NCHW[list(numbers)].float() / 127.5 - 1

    def __len__(self) -> int:
        return len(self.captions)

    def select(self, numbers: Sequence[int]) -> Pairs:
        """Some of the pairs, in the order given."""
        captions = [self.captions[number] for number in numbers]
        return Pairs(self.pixels_NCHW[list(numbers)], self.ids_NT[list(numbers)], captions)


def read_pairs(rows: pa.Table, side: int, text: TextTokenizer) -> Pairs:
    """The pairs of rows as `Captioned` has them, pictures scaled and cropped to squares of `side` pixels.

    Raises:
        UserError: a thumbnail cannot be decoded.
    """
    pixels_NCHW = np.empty((len(rows), 3, side, side), np.uint8)
    places: dict[tuple[str, str], dict[str, int]] = {}
    keys = (rows[name].to_pylist() for name in ("folder", "shard", "source"))
    for number, (folder, shard, source) in enumerate(zip(*keys, strict=True)):
        places.setdefault((folder, shard), {})[source] = number
    for (folder, shard), numbers in places.items():
        for source, picture in read_thumbnails(folder, shard, numbers):
            pixels_NCHW[numbers[source]] = np.asarray(fit(picture, side, side)).transpose(2, 0, 1)
    captions = rows["caption"].to_pylist()
    return Pairs(torch.from_numpy(pixels_NCHW), text_ids(text, captions), captions)


def _catalogue(drop: Drop) -> pa.Table:
    """The kept rows of a drop, as `Captioned` has them."""
    columns = ["sample_id", "shard", "source", "caption"]
    catalogue = read_table(storage.join(drop.filtered, CATALOGUE), [*columns, "status"])
    kept = kept_rows(catalogue).select(columns)
    return kept.append_column("folder", pa.array([drop.scored] * len(kept), pa.string()))
