"""The curated pictures of all drops at random access, decoded and cropped to their schedule.

Shapes: B batch, 3 channels, H W pixels of the schedule.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from infra import storage
from infra.document import Document, ImageSegment
from infra.errors import UserError
from jobs.curated import captioned_units
from jobs.images import DecodeError, decode, fit
from jobs.tensors import to_tensor
from model.scales import ScaleSchedule, nearest

CACHE_BYTES = 512 * 2**20
"""Decoded pixels one process keeps; what is beyond is decoded again each time it is needed."""


@dataclass(frozen=True)
class PictureRef:
    """Where a picture's bytes lie in a tar, and the schedule it is cropped to."""

    sample_id: int
    member: str
    tar: str
    offset: int
    bytes: int
    pixels: int
    """Width times height, which curation accepted, whatever the limit elsewhere."""
    schedule: ScaleSchedule


def find_pictures(folders: Sequence[str], schedules: Sequence[ScaleSchedule]) -> list[PictureRef]:
    """The pictures of finished captioned folders, ordered by sample, whatever the order of folders."""
    found = [
        ref
        for folder in folders
        for path in captioned_units(folder)
        for ref in _in_tar(storage.join(folder, path), schedules)
    ]
    return sorted(found, key=lambda ref: (ref.sample_id, ref.member))


def _in_tar(uri: str, schedules: Sequence[ScaleSchedule]) -> Iterator[PictureRef]:
    """The pictures of one tar; their bytes are passed over."""
    places: dict[str, tuple[int, int]] = {}
    with storage.open_input(uri) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".json") else None
            if content is None:
                places[member.name] = (member.offset_data, member.size)
                continue
            document = Document.model_validate_json(content.read())
            for segment in document.segments:
                if isinstance(segment, ImageSegment):
                    schedule = nearest(schedules, segment.width, segment.height)
                    place = places[segment.member]
                    pixels = segment.width * segment.height
                    yield PictureRef(document.sample_id, segment.member, uri, *place, pixels, schedule)


class Pictures:
    """Pixels of pictures by number."""

    def __init__(self, refs: Sequence[PictureRef], cache_bytes: int = CACHE_BYTES) -> None:
        self.refs = refs
        self._room = cache_bytes
        self._cache: dict[int, npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.refs)

    def batch(self, numbers: Sequence[int]) -> Tensor:
        """Pictures of one schedule as [B, 3, H, W] in [-1, 1].

        Raises:
            UserError: a picture cannot be decoded any more.
        """
        return to_tensor([Image.fromarray(self._pixels(number)) for number in numbers])

    def _pixels(self, number: int) -> npt.NDArray[np.uint8]:
        if number in self._cache:
            return self._cache[number]
        pixels = _decode(self.refs[number])
        if pixels.nbytes <= self._room:
            self._room -= pixels.nbytes
            self._cache[number] = pixels
        return pixels


def _decode(ref: PictureRef) -> npt.NDArray[np.uint8]:
    try:
        picture = decode(storage.read_range(ref.tar, ref.offset, ref.bytes), ref.pixels)
    except DecodeError as error:
        raise UserError(
            f"a curated picture cannot be decoded: {error.reason} ({error.detail})",
            f"{ref.tar}#{ref.member}",
            "The file changed after curation: curate it again",
        ) from error
    return np.asarray(fit(picture, ref.schedule.width, ref.schedule.height))
