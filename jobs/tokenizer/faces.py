"""tokenizer/faces: which curated pictures show a face, so that training shows them more often (paper 3.1).

Two of OpenCV's frontal Haar cascades must agree: the first proposes faces, the second confirms them.
Seen are faces that look at the camera, upright, from about a twentieth of the picture's longer side;
drawn faces count too. A curated tar is a unit of work and becomes one Parquet file, a row per picture.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from heapq import nsmallest
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cv2.data import haarcascades
from PIL import Image, ImageDraw

from infra import storage
from infra.catalogue import Counts, count
from infra.document import ImageSegment
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, Receipt, read_manifest, read_table
from infra.reporter import Reporter
from jobs.curated import iter_unit
from jobs.images import DecodeError, decode
from jobs.pictures.sheets import contact_sheet
from jobs.pictures.style import ORANGE
from jobs.specs import FaceSettings
from jobs.units import Unit, run_units

SUFFIX = ".faces.parquet"
SHEET_PICTURES = 24

_SIDE = 512
"""Pixels of the longer side of the copy that is searched."""
_LEAST_FACE = 24
"""Pixels of that copy: what is smaller is mostly texture, and no face anyone would look at."""
_PROPOSE = ("frontalface_alt2", 5)
_CONFIRM = ("frontalface_alt", 3)
"""A cascade and how many of its windows must agree. The second turns down most false alarms of the first
and hardly any real face."""
_AGREEMENT = 0.5
"""Share of the smaller of two boxes that both cover when they show the same face."""

_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.uint64(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("faces", pa.int32()),
        pa.field("largest", pa.float64()),
        pa.field("reason", pa.string()),
    ]
)
"""`largest` is the share of the picture's area. Where there is a reason, the picture was not looked at."""


class Box(NamedTuple):
    """A rectangle in pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """Pixels; 0 where the rectangle is empty."""
        return max(0, self.right - self.left) * max(0, self.bottom - self.top)


def count_faces(picture: Image.Image) -> int:
    """How many faces a picture shows."""
    return len(find_faces(picture))


def find_faces(picture: Image.Image) -> list[Box]:
    """The faces of an RGB picture of any size, in its pixels, the largest first. A pure function."""
    copy = picture.convert("L")
    copy.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    proposed = _detect(copy, *_PROPOSE)
    confirmed = _detect(copy, *_CONFIRM) if proposed else []
    found = [box for box in proposed if any(_agree(box, other) for other in confirmed)]
    x, y = picture.width / copy.width, picture.height / copy.height
    faces = [Box(*map(round, (b.left * x, b.top * y, b.right * x, b.bottom * y))) for b in found]
    return sorted(faces, key=lambda box: (-box.area, box))


def faces_by_member(folders: Sequence[str]) -> dict[tuple[int, str], int]:
    """The pictures with at least one face: (sample id, tar member) -> how many.

    Args:
        folders: finished outputs of `tokenizer/faces`.
    """
    return {
        (row["sample_id"], row["member"]): row["faces"]
        for folder in folders
        for path in read_manifest(folder).paths(SUFFIX)
        for row in _with_faces(folder, path)
    }


def run(spec: JobSpec[FaceSettings], report: Reporter) -> Manifest:
    """Look for faces in every curated picture of the drop; one that no longer decodes has a row with why.

    Raises:
        UserError: a curated tar is damaged.
    """
    output = Output(spec.output)
    (captioned,) = spec.inputs["t2i/captioned"]
    tars = [entry for entry in read_manifest(captioned).files if entry.path.endswith(".tar")]
    units = [Unit(PurePosixPath(entry.path).stem, entry, max(1, entry.rows)) for entry in tars]
    receipts = run_units(
        output, units, FaceCounter, report, spec.resources, arguments=(output, captioned), noun="pictures"
    )
    if sheet := _sheet(captioned, spec.output, tars, receipts):
        report.picture("faces", output.picture("faces", sheet))
    counts = sum((receipt.counts for receipt in receipts), Counts())
    found = sum(receipt.metadata["with_faces"] for receipt in receipts)
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=tuple(entry for receipt in receipts for entry in receipt.files),
            counts=counts,
            metadata={"with_faces": found, "share": found / max(1, counts.kept)},
        )
    )


class FaceCounter:
    """A worker: called with units, whose payload is a tar's entry in its manifest."""

    def __init__(self, output: Output, captioned: str) -> None:
        cv2.setNumThreads(1)  # the other cores belong to other workers
        self._output = output
        self._captioned = captioned

    def __call__(self, unit: Unit[FileEntry]) -> Receipt:
        """Publish `data/<unit>.faces.parquet`, a row per picture in the order of the tar."""
        rows = [_look(*picture) for picture in _pictures(self._captioned, unit.payload)]
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        outcomes = [("rejected", row["reason"]) if row["reason"] else ("kept", None) for row in rows]
        return Receipt(
            unit=unit.name,
            files=(self._output.publish_table(f"data/{unit.name}{SUFFIX}", table),),
            counts=count(len(rows), outcomes),
            metadata={"with_faces": sum(bool(row["faces"]) for row in rows)},
        )


def _look(sample_id: int, member: str, data: bytes) -> dict[str, Any]:
    """The row of a picture."""
    row: dict[str, Any] = dict.fromkeys(_SCHEMA.names) | {"sample_id": sample_id, "member": member}
    try:
        picture = decode(data)
    except DecodeError as error:
        return row | {"reason": error.reason}
    faces = find_faces(picture)
    largest = faces[0].area / (picture.width * picture.height) if faces else 0.0
    return row | {"faces": len(faces), "largest": largest}


def _pictures(folder: str, tar: FileEntry) -> Iterator[tuple[int, str, bytes]]:
    """Sample id, member and bytes of every picture of a tar.

    Raises:
        UserError: it cannot be read to its end. A tar that is cut between members only looks shorter.
    """
    found, why = 0, ""
    try:
        for document, media in iter_unit(folder, tar.path):
            found += 1
            for segment in document.segments:
                if isinstance(segment, ImageSegment):
                    yield document.sample_id, segment.member, media[segment.member]
    except (tarfile.TarError, ValueError, EOFError) as error:
        why = f", {error}"
    if found != tar.rows:
        what = f"the shard is damaged: {found} of {tar.rows} documents{why}"
        raise UserError(what, storage.join(folder, tar.path), "Remove its folder and curate again")


def _detect(grey: Image.Image, cascade: str, windows: int) -> list[Box]:
    least = (_LEAST_FACE, _LEAST_FACE)
    found = _load(cascade).detectMultiScale(np.asarray(grey), minNeighbors=windows, minSize=least)
    return [Box(int(x), int(y), int(x + width), int(y + height)) for x, y, width, height in found]


@cache
def _load(cascade: str) -> Any:
    return cv2.CascadeClassifier(f"{haarcascades}haarcascade_{cascade}.xml")


def _agree(box: Box, other: Box) -> bool:
    both = Box(*map(max, box[:2], other[:2]), *map(min, box[2:], other[2:]))
    return both.area >= _AGREEMENT * min(box.area, other.area)


def _with_faces(folder: str, path: str) -> list[dict[str, Any]]:
    table = read_table(storage.join(folder, path), ["sample_id", "member", "faces"])
    return list(table.filter(pc.greater(table["faces"], 0)).to_pylist())


def _sheet(
    captioned: str, folder: str, tars: Sequence[FileEntry], receipts: Sequence[Receipt]
) -> bytes | None:
    """A PNG of pictures with their faces framed; None where no picture has one.

    Shown are the smallest sample ids: they are hashes, so that is a fair draw, and they stand first in
    their tars, so that little is read.
    """
    found = (
        (row["sample_id"], row["member"], tar.path)
        for tar, receipt in zip(tars, receipts, strict=True)
        for row in _with_faces(folder, receipt.files[0].path)
    )
    drawn = nsmallest(SHEET_PICTURES, found)
    members = {path: {member for _, member, place in drawn if place == path} for _, _, path in drawn}
    shown = [_framed(p) for path, wanted in members.items() for p in _decoded(captioned, path, wanted)]
    if not shown:
        return None
    pictures, labels = zip(*shown, strict=True)
    return contact_sheet(pictures, labels, title="Pictures with faces")


def _decoded(captioned: str, path: str, wanted: set[str]) -> Iterable[Image.Image]:
    """Some members of a tar; reading stops at the last."""
    found = (media[m] for _, media in iter_unit(captioned, path) for m in sorted(media) if m in wanted)
    return map(decode, islice(found, len(wanted)))


def _framed(picture: Image.Image) -> tuple[Image.Image, str]:
    """A small copy of a picture with frames around its faces, and what to write below."""
    faces = find_faces(picture)
    pen = ImageDraw.Draw(picture)
    for face in faces:
        pen.rectangle(face, outline=ORANGE, width=max(2, max(picture.size) // 40))
    share = faces[0].area / (picture.width * picture.height)
    picture.thumbnail((_SIDE, _SIDE))
    return picture, f"{len(faces)} face{'s' * (len(faces) > 1)}, {share:.1%}"
