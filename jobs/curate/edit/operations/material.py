"""What edits are made from: the pictures of one tar of curated documents.

A picture is a *scene* where drawing its place in the embedded world again gives the same bytes, a
*cutout* where transparency leaves a part of it, and a *picture* otherwise.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from infra.document import Document, ImageSegment, TextSegment
from jobs.curate.edit.operations.names import Name, name_of
from jobs.curated import iter_unit
from jobs.images import DecodeError, decode, decode_rgba
from jobs.scenes.draw import MAX_SIZE, MIN_SIZE
from jobs.scenes.sample import make_sample
from jobs.scenes.world import Scene, sample_scene

Kind = Literal["scene", "cutout", "picture"]

_PLACE = re.compile(r"^scenes:(-?\d+)/(\d+)#(\d+)$")
_OPAQUE = 127
_LEAST_OBJECT, _MOST_OBJECT = 0.02, 0.95
"""Share of the pixels that are opaque, where transparency leaves an object."""


@dataclass(frozen=True)
class Material:
    """One curated picture."""

    source: str
    sample_id: int
    caption: str
    data: bytes
    kind: Kind
    name: Name | None
    """What the caption calls what is to be seen."""
    side: int
    """Width in pixels."""
    is_whole: bool
    """Nothing of it is transparent, so it may stand behind other things."""
    scene: Scene | None = None

    def picture(self, max_pixels: int) -> Image.Image:
        """The picture over white. Raises DecodeError."""
        return decode(self.data, max_pixels)

    def layer(self, max_pixels: int) -> Image.Image:
        """The cut-out object alone, RGBA, in its own box. Raises DecodeError."""
        layer = decode_rgba(self.data, max_pixels)
        return layer.crop(_mask(layer).getbbox())


def read_materials(folder: str, tar_path: str, max_pixels: int) -> list[Material]:
    """The pictures of a tar in order. Their bytes are held, decoded they are one at a time."""
    return [_material(document, media, max_pixels) for document, media in iter_unit(folder, tar_path)]


def _material(document: Document, media: dict[str, bytes], max_pixels: int) -> Material:
    segment = next(s for s in document.segments if isinstance(s, ImageSegment))
    caption = next((s.text for s in document.segments if isinstance(s, TextSegment)), "")
    data = media[segment.member]
    source = str(document.metadata["source"])
    scene = _scene(source, segment, data)
    share = 1.0 if scene else _opaque_share(data, max_pixels)
    is_object = _LEAST_OBJECT <= share <= _MOST_OBJECT
    return Material(
        source=source,
        sample_id=document.sample_id,
        caption=caption,
        data=data,
        kind="scene" if scene else "cutout" if is_object else "picture",
        name=name_of(caption),
        side=segment.width,
        is_whole=share == 1,
        scene=scene,
    )


def _scene(source: str, segment: ImageSegment, data: bytes) -> Scene | None:
    """The scene that a place in the embedded world names, if this is its picture."""
    found = _PLACE.match(source)
    if not found:
        return None
    seed, size, index = (int(text) for text in found.groups())
    if size != segment.width or not MIN_SIZE <= size <= MAX_SIZE:
        return None
    return sample_scene(seed, index) if make_sample(seed, index, size).png == data else None


def _opaque_share(data: bytes, max_pixels: int) -> float:
    """Share of the pixels that are opaque; 0 where the picture cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as header:
            if not header.has_transparency_data:
                return 1.0
        layer = decode_rgba(data, max_pixels)
    except (DecodeError, OSError, SyntaxError, ValueError):
        return 0.0  # what is wrong with it is said when it is edited
    return _mask(layer).histogram()[255] / (layer.width * layer.height)


def _mask(layer: Image.Image) -> Image.Image:
    return layer.getchannel("A").point(lambda value: 255 if value > _OPAQUE else 0)
