"""Curated documents made ready to encode: their pictures decoded, each fitted to its scale schedule.

Shapes: H W pixels, 3 channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from infra.document import Document, ImageSegment, format_id
from jobs.attempts import die
from jobs.curated import Media
from jobs.extract.ahead import Load
from jobs.images import DecodeError, decode, fit
from model.scales import ScaleSchedule, nearest

ERROR = "unexpected_error"
"""Reason of a document on which the code failed in a way that nobody foresaw."""

WORKER_DIED = "worker_died"
"""Reason of a document that ended the process of every worker that tried it."""


@dataclass(frozen=True)
class Refusal:
    """Why a document has no tokens."""

    sample_id: int
    status: Literal["rejected", "errored"]
    reason: str
    detail: str
    attempts: int | None = None
    """Of an errored document: how often it was tried."""

    def to_json(self) -> dict[str, Any]:
        """For receipts: the id as 16 hex digits, which every JSON reader keeps exact."""
        return {**vars(self), "sample_id": format_id(self.sample_id)}

    @classmethod
    def of(cls, sample_id: int, error: Exception, attempts: int = 1) -> Refusal:
        """A picture that cannot be decoded is rejected; anything else is an error."""
        if isinstance(error, DecodeError):
            return cls(sample_id, "rejected", error.reason, error.detail)
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return cls(sample_id, "errored", ERROR, detail, attempts)


@dataclass(frozen=True)
class Picture:
    """A picture as large as its schedule. One that is only read needs no self-correction."""

    schedule: ScaleSchedule
    pixels_HW3: npt.NDArray[np.uint8]
    predicted: bool = True


@dataclass(frozen=True)
class Prepared:
    """A document with its pictures in order."""

    document: Document
    pictures: tuple[Picture, ...]


def prepare(document: Document, media: Media, schedules: Sequence[ScaleSchedule]) -> Prepared | Refusal:
    """Decode the pictures of a document; what goes wrong comes back as a refusal."""
    images = [segment for segment in document.segments if isinstance(segment, ImageSegment)]
    try:
        pictures = tuple(_picture(image, media[image.member], schedules) for image in images)
        return Prepared(document, pictures)
    except MemoryError:
        die()
    except Exception as error:
        return Refusal.of(document.sample_id, error)


def load(document: Document, media: Media) -> Load:
    """What preparing a document holds: its bytes, and all pixels of its pictures."""
    images = [segment for segment in document.segments if isinstance(segment, ImageSegment)]
    pixels = sum(3 * image.width * image.height for image in images)
    return Load(max(1, len(images)), pixels + sum(map(len, media.values())))


def _picture(image: ImageSegment, data: bytes, schedules: Sequence[ScaleSchedule]) -> Picture:
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise DecodeError("checksum", f"{image.member} is not the picture that curation stored")
    # Curation has decided how large a picture may be; this one is as large as it says.
    picture = decode(data, image.width * image.height)
    schedule = nearest(schedules, *picture.size)
    return Picture(schedule, np.asarray(fit(picture, schedule.width, schedule.height)), image.loss)
