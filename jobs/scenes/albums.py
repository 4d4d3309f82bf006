"""Albums: pictures that appeared together, in most of which one shape is to be seen again.

The shape is the album's *subject*: its kind, colour and size stay, its place, its neighbours and the
background change. The other pictures of the album show anything but the subject. No other look occurs
twice in an album, so what two of its pictures share is the subject or nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import product

from pydantic import BaseModel, ConfigDict

from jobs.scenes.captions import caption
from jobs.scenes.draw import draw, png_bytes
from jobs.scenes.sample import Sample
from jobs.scenes.truth import Clause, Truth, truth_of
from jobs.scenes.world import COLORS, KINDS, SIZES, Scene, random_for, sample_scene

MAX_PICTURES = 13
"""In one album: each picture takes up to three looks that no other picture of the album has."""

_OTHERS = 3
"""Looks set aside for each picture."""
_PICTURES_PER_STRANGER = 3

Look = tuple[str, str]
"""Kind and colour."""


class AlbumTruth(BaseModel):
    """What is true of one picture, and which shape the album is about; the picture may not show it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    scene: Truth
    subject: Clause

    @property
    def shows_subject(self) -> bool:
        """Whether the picture shows the album's subject."""
        looks = [(clause.kind, clause.color, clause.size) for clause in self.scene.include]
        return (self.subject.kind, self.subject.color, self.subject.size) in looks

    def to_json(self) -> str:
        """One line of JSON; `AlbumTruth.model_validate_json` reads it back."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


@dataclass(frozen=True)
class Album:
    """What the pictures of one album have in common, and which of them are strangers to it."""

    look: Look
    size: str
    others: tuple[Look, ...]
    """Every other look, in a random order."""
    strangers: frozenset[int]
    """Positions of the pictures without the subject."""

    @property
    def subject(self) -> Clause:
        """The subject as a claim."""
        kind, color = self.look
        return Clause(kind=kind, color=color, size=self.size)


def sample_album(seed: int, number: int, pictures: int) -> Album:
    """The album `number` of the world `seed`; of its pictures every third is a stranger.

    Raises:
        ValueError: an album of one picture, or of more than there are looks for.
    """
    if not 2 <= pictures <= MAX_PICTURES:
        raise ValueError(f"an album has 2 to {MAX_PICTURES} pictures, got {pictures}")
    rng = random_for("album", seed, number)
    looks = list(product(KINDS, COLORS))
    rng.shuffle(looks)
    strangers = rng.sample(range(pictures), pictures // _PICTURES_PER_STRANGER)
    return Album(looks[0], rng.choice(list(SIZES)), tuple(looks[1:]), frozenset(strangers))


def album_scene(seed: int, index: int, pictures: int) -> tuple[Scene, Album]:
    """The scene number `index`, where every `pictures` scenes in a row are an album."""
    number, position = divmod(index, pictures)
    album = sample_album(seed, number, pictures)
    others = album.others[_OTHERS * position : _OTHERS * (position + 1)]
    rng = random_for("album picture", seed, index)
    if position in album.strangers:
        return _stranger(rng, others), album
    first = min(set(range(pictures)) - album.strangers)
    return _with_subject(rng, album, others, fewest=1 if position == first else 2), album


def make_album_sample(seed: int, index: int, pictures: int, size: int) -> Sample:
    """Record number `index`, size x size pixels; its truth is an `AlbumTruth` as JSON."""
    scene, album = album_scene(seed, index, pictures)
    truth = AlbumTruth(scene=truth_of(scene), subject=album.subject)
    return Sample(png_bytes(draw(scene, size)), caption(scene, seed, index), truth.to_json())


def _stranger(rng: random.Random, looks: tuple[Look, ...]) -> Scene:
    while len((layout := _layout(rng)).shapes) > len(looks):
        pass
    return _dress(layout, list(looks))


def _with_subject(rng: random.Random, album: Album, others: tuple[Look, ...], fewest: int) -> Scene:
    """A layout with room for the subject: a place of its size, of at least `fewest` shapes."""
    places: list[int] = []
    while not places:
        layout = _layout(rng)
        if len(layout.shapes) >= fewest:
            places = [n for n, shape in enumerate(layout.shapes) if shape.size == album.size]
    looks = list(others)
    looks.insert(rng.choice(places), album.look)
    return _dress(layout, looks)


def _layout(rng: random.Random) -> Scene:
    """Places and sizes of shapes, as the world has them."""
    return sample_scene(rng.getrandbits(31), 0)


def _dress(layout: Scene, looks: list[Look]) -> Scene:
    """The layout with other looks."""
    shapes = [
        replace(shape, kind=kind, color=color)
        for shape, (kind, color) in zip(layout.shapes, looks, strict=False)
    ]
    return replace(layout, shapes=tuple(shapes))
