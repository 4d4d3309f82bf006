"""Edits of whole pictures, whatever they show: lighting, style, text, zoom, viewpoint."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image

from jobs.curate.edit.operations.lettering import write
from jobs.curate.edit.operations.lighting import relight
from jobs.curate.edit.operations.made import Made, encode, within
from jobs.curate.edit.operations.material import Material
from jobs.curate.edit.operations.names import Name
from jobs.curate.edit.operations.style import restyle
from jobs.curate.edit.operations.view import turn, zoom
from jobs.images import picture_format
from jobs.recipe.curation.edit import EditTask
from jobs.recipe.curation.synthetic import SyntheticEdits

_MAKERS: dict[EditTask, Callable[[Image.Image, Name | None, random.Random], tuple[Image.Image, str]]] = {
    "lighting": lambda image, _, rng: relight(image, rng),
    "style": lambda image, _, rng: restyle(image, rng),
    "text": write,
    "zoom": lambda image, _, rng: zoom(image, rng),
    "viewpoint": lambda image, _, rng: turn(image, rng),
}
WHOLE_TASKS = frozenset(_MAKERS)


def make_whole_edit(
    material: Material, task: EditTask, rng: random.Random, settings: SyntheticEdits, max_pixels: int
) -> Made:
    """An edit of one of WHOLE_TASKS. The picture before is the original bytes, where it is small enough.

    Raises:
        CannotEditError: with reason `no_room`.
        DecodeError: the picture cannot be read.
    """
    picture = material.picture(max_pixels)
    suffix = picture_format(material.data)
    image = within(picture, settings.max_side)
    before = material.data if image.size == picture.size else encode(image, suffix)
    after, instruction = _MAKERS[task](image, material.name, rng)
    return Made(before, encode(after, suffix), instruction, (material.sample_id,))
