"""One unit of work: the edits of the pictures of one curated tar, as documents and rows of the catalogue."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import pyarrow as pa

from infra.catalogue import BASE_FIELDS, count
from infra.document import Document, ImageSegment, TextSegment, format_id
from infra.manifest import FileEntry, Output, Receipt
from jobs.curate.edit.operations.cutouts import make_cutout_edit
from jobs.curate.edit.operations.made import CannotEditError, Made
from jobs.curate.edit.operations.material import Material, read_materials
from jobs.curate.edit.operations.plan import Planned, edit_rng, plan_edits
from jobs.curate.edit.operations.scenes import make_scene_edit
from jobs.curate.edit.operations.whole import make_whole_edit
from jobs.curate.edit.pairs import measure_pair, working_copy
from jobs.curate.edit.records import FAMILY, edit_id
from jobs.curated import Media, tar_bytes
from jobs.images import DecodeError, decode, picture_format
from jobs.specs.synthetic import SyntheticSettings
from jobs.units import Unit

SUBSET = "synthetic"
TAR_BYTES = 256 << 20
"""Picture bytes in one tar, which a worker holds in memory."""

ROWS_SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("subset", pa.string()),
        ("task", pa.string()),
        ("maker", pa.string()),
        ("parents", pa.list_(pa.string())),  # sample ids, 16 hex digits
        ("instruction", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("changed", pa.float64()),  # share of the pixels that differ visibly
    ]
)
"""One row per planned edit."""

Row = dict[str, Any]
Pair = tuple[Document, Media]


@dataclass(frozen=True)
class Tar:
    """A tar of a finished t2i/captioned."""

    folder: str
    path: str


def make_unit(unit: Unit[Tar], output: Output, settings: SyntheticSettings, seed: int) -> Receipt:
    """Plan and make the edits of one tar; publish their documents and their rows."""
    cv2.setNumThreads(1)  # the same sums in the same order, and one core for each worker
    materials = read_materials(unit.payload.folder, unit.payload.path, settings.max_pixels)
    tars = _Tars(output, unit.name)
    rows = []
    for planned in plan_edits(materials, settings.synthetic.per_picture, settings.target, seed):
        row, pair = make_edit(planned, materials, settings, edit_rng(seed, planned.material, planned.task))
        rows.append(row)
        if pair is not None:
            tars.add(pair)
    table = pa.Table.from_pylist(rows, schema=ROWS_SCHEMA)
    entry = output.publish_table(f"data/{unit.name}.edits.parquet", table)
    counts = count(len(rows), [(row["status"], row.get("reason")) for row in rows])
    return Receipt(unit=unit.name, files=(entry, *tars.close()), counts=counts)


def make_edit(
    planned: Planned, company: Sequence[Material], settings: SyntheticSettings, rng: random.Random
) -> tuple[Row, Pair | None]:
    """The row of a planned edit, and its document if it is kept."""
    row: Row = {
        "source": planned.source,
        "sample_id": edit_id("", [], planned.source),
        "status": "rejected",
        "subset": SUBSET,
        "task": planned.task,
        "maker": planned.maker,
        "parents": [format_id(planned.material.sample_id)],
    }
    try:
        made = _make(planned, company, settings, rng)
        measured = _measure(made)
    except (CannotEditError, DecodeError) as error:
        return row | {"reason": error.reason, "detail": error.detail}, None
    row |= measured | {
        "sample_id": edit_id(made.instruction, [made.before, made.after], planned.source),
        "parents": [format_id(parent) for parent in made.parents],
        "instruction": made.instruction,
    }
    limit = settings.synthetic.min_changed
    if row["changed"] < limit:
        detail = f"{row['changed']:.2%} of the pixels, the limit is {limit:.2%}"
        return row | {"reason": "nothing_changed", "detail": detail}, None
    return row | {"status": "kept"}, edit_document(row, made)


def edit_document(row: Row, made: Made) -> Pair:
    """An edit as training reads it: the picture before and the instruction, then the picture to be learnt."""
    members = [
        f"{format_id(row['sample_id'])}.{number}.{picture_format(data)}"
        for number, data in enumerate((made.before, made.after))
    ]
    before, after = (
        ImageSegment(
            member=member,
            width=row["width"],
            height=row["height"],
            sha256=hashlib.sha256(data).hexdigest(),
            loss=loss,
        )
        for member, data, loss in zip(members, (made.before, made.after), (False, True), strict=True)
    )
    document = Document(
        sample_id=row["sample_id"],
        family=FAMILY,
        segments=(before, TextSegment(text=made.instruction, loss=False), after),
        metadata={name: row[name] for name in ("source", "subset", "task", "maker", "parents")}
        | {"truth": json.loads(made.truth) if made.truth else None},
    )
    return document, dict(zip(members, (made.before, made.after), strict=True))


def _make(
    planned: Planned, company: Sequence[Material], settings: SyntheticSettings, rng: random.Random
) -> Made:
    material, task, limits = planned.material, planned.task, settings.synthetic
    if planned.maker == "scene":
        return make_scene_edit(material, task, rng)
    if planned.maker == "cutout":
        return make_cutout_edit(material, task, company, rng, limits, settings.max_pixels)
    return make_whole_edit(material, task, rng, limits, settings.max_pixels)


def _measure(made: Made) -> Row:
    """Sizes and the changed share of the encoded pictures, as a reader sees them."""
    before, after = decode(made.before), decode(made.after)
    assert before.size == after.size, "every edit keeps the size"
    changed = measure_pair(working_copy(before), working_copy(after)).changed
    return {"width": before.width, "height": before.height, "changed": changed}


class _Tars:
    """Documents into tars of bounded size."""

    def __init__(self, output: Output, name: str) -> None:
        self._output, self._name = output, name
        self._pairs: list[Pair] = []
        self._bytes = 0
        self._entries: list[FileEntry] = []

    def add(self, pair: Pair) -> None:
        size = sum(len(data) for data in pair[1].values())
        if self._pairs and self._bytes + size > TAR_BYTES:
            self._publish()
        self._pairs.append(pair)
        self._bytes += size

    def close(self) -> list[FileEntry]:
        if self._pairs:
            self._publish()
        return self._entries

    def _publish(self) -> None:
        number = f"-{len(self._entries):03d}" if self._entries else ""
        path = f"data/{self._name}{number}.tar"
        self._entries.append(self._output.publish(path, tar_bytes(self._pairs), len(self._pairs)))
        self._pairs, self._bytes = [], 0
