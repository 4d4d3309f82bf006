"""A record of the world as a source delivers it: picture, caption and truth."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.scenes.captions import caption
from jobs.scenes.draw import draw, png_bytes
from jobs.scenes.truth import truth_of
from jobs.scenes.world import sample_scene


@dataclass(frozen=True)
class Sample:
    """One captioned picture. `truth` is a `Truth` as JSON."""

    png: bytes
    caption: str
    truth: str


def make_sample(seed: int, index: int, size: int) -> Sample:
    """Record number `index` of the world `seed`, size x size pixels. Equal arguments, equal bytes."""
    scene = sample_scene(seed, index)
    return Sample(png_bytes(draw(scene, size)), caption(scene, seed, index), truth_of(scene).to_json())
