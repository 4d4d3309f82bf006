"""Edits of cut-out objects, which are put before a plain ground or before a picture of the same tar.

What is removed has a true background behind it, because it was never there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jobs.curate.edit.operations import colours
from jobs.curate.edit.operations.compose import (
    COLORS,
    Box,
    Ground,
    Placed,
    Shot,
    Thing,
    canvas_size,
    close_up,
    compose,
    is_clear,
    photo_ground,
    plain_ground,
)
from jobs.curate.edit.operations.made import CannotEditError, Made, encode
from jobs.curate.edit.operations.material import Material
from jobs.curate.edit.operations.names import NAMELESS
from jobs.recipe.curation.edit import EditTask
from jobs.recipe.curation.synthetic import SyntheticEdits
from jobs.scenes.editing.edit import say

Edit = tuple[Shot, Shot, str]
"""Before, after, and the instruction."""

_ALONE: Box = (0.5, 0.66)
_ONE_OF_TWO: Box = (0.42, 0.6)
_SMALL, _LARGE = (0.3, 0.36), (0.54, 0.66)
_PLACES: dict[str, Box] = {
    "on the left": (0.27, 0.52),
    "on the right": (0.73, 0.52),
    "in the middle": (0.5, 0.52),
}
_GOALS: tuple[dict[str, Box], ...] = (
    {"to the left": (0.25, 0.52), "to the middle": (0.5, 0.52), "to the right": (0.75, 0.52)},
    {"to the top": (0.5, 0.27), "to the middle": (0.5, 0.5), "to the bottom": (0.5, 0.73)},
)
"""Places of a move, which goes across or up and down and never both."""
_MOVED: Box = (0.42, 0.46)
_BESIDE_SHARE, _NEARER_SHARE = 0.5, 0.7
_CLOSE_UP = 0.5


@dataclass(frozen=True)
class Cast:
    """What an edit is made with."""

    thing: Thing
    other: Thing | None
    """Another object with a name of its own."""
    ground: Ground
    new_ground: Ground
    rng: random.Random

    def beside(self) -> Thing | None:
        """The other object, where both may stand side by side, for half of the edits."""
        return self.other if self.thing.named and self.rng.random() < _BESIDE_SHARE else None


def make_cutout_edit(
    material: Material,
    task: EditTask,
    company: Sequence[Material],
    rng: random.Random,
    settings: SyntheticEdits,
    max_pixels: int,
) -> Made:
    """An edit of a cut-out object.

    Args:
        material: the cut-out.
        task: one of CUTOUT_TASKS.
        company: the pictures of the tar; further objects and grounds are taken from them.
        rng: decides everything that is left open.
        settings: limits of sizes.
        max_pixels: that are decoded.

    Raises:
        CannotEditError: with reason `object_too_small`, `no_name`, `no_other_object` or `color_unclear`.
        DecodeError: a picture cannot be read.
    """
    cast = _cast(material, company, rng, settings, max_pixels)
    before, after, instruction = _MAKERS[task](cast)
    parents = dict.fromkeys([cast.thing.parent, *before.parents, *after.parents])
    return Made(encode(compose(before)), encode(compose(after)), instruction, tuple(parents))


def _add(cast: Cast) -> Edit:
    if not cast.thing.named:
        raise CannotEditError("no_name", "what is added has to be told")
    what, rng = cast.thing.name.indefinite, cast.rng
    verb = rng.choice(("Add", "Add", "Put", "Place"))
    if beside := cast.beside():
        here, there = _side_by_side(cast.thing, beside, rng)
        side = "left" if here.at[0] < there.at[0] else "right"
        text = say(
            rng, f"{verb} {what} to the {side} of {beside.name.definite}", f"{verb} {what} on the {side}"
        )
        return Shot(cast.ground, (there,)), Shot(cast.ground, (there, here)), text
    where, at = rng.choice(list(_PLACES.items()))
    after = Shot(cast.ground, (Placed(cast.thing, at, _ONE_OF_TWO),))
    return Shot(cast.ground), after, say(rng, f"{verb} {what} {where}")


def _remove(cast: Cast) -> Edit:
    what, rng = cast.thing.name.definite, cast.rng
    here = Placed(cast.thing, rng.choice(list(_PLACES.values())), _ALONE)
    left: tuple[Placed, ...] = ()
    if beside := cast.beside():
        here, there = _side_by_side(cast.thing, beside, rng)
        left = (there,)
    text = say(
        rng,
        f"Remove {what}",
        f"Remove {what} from the picture",
        f"Delete {what}",
        f"Erase {what}",
        f"Get rid of {what}",
    )
    return Shot(cast.ground, (*left, here)), Shot(cast.ground, left), text


def _replace(cast: Cast) -> Edit:
    if cast.other is None:
        raise CannotEditError("no_other_object", "nothing else in the tar has a name")
    old, new, rng = cast.thing.name.definite, cast.other.name.indefinite, cast.rng
    at = rng.choice(list(_PLACES.values()))
    before = Shot(cast.ground, (Placed(cast.thing, at, _ALONE),))
    after = Shot(cast.ground, (Placed(cast.other, at, _ALONE),))
    text = say(rng, f"Replace {old} with {new}", f"Swap {old} for {new}", f"Turn {old} into {new}")
    return before, after, text


def _recolour(cast: Cast) -> Edit:
    rng = cast.rng
    painted = colours.paint(cast.thing.layer, rng, lambda layer: is_clear(layer, cast.ground))
    if painted is None:
        raise CannotEditError("color_unclear", "no colour would cover most of the object and stand out")
    layer, color = painted
    here = Placed(cast.thing, rng.choice(list(_PLACES.values())), _ALONE)
    what = cast.thing.name.definite
    text = say(
        rng,
        f"Make {what} {color}",
        f"Change the color of {what} to {color}",
        f"Paint {what} {color}",
        f"Color {what} {color}",
    )
    there = replace(here, thing=replace(cast.thing, layer=layer))
    return Shot(cast.ground, (here,)), Shot(cast.ground, (there,)), text


def _move(cast: Cast) -> Edit:
    rng, what = cast.rng, cast.thing.name.definite
    (_, start), (where, goal) = rng.sample(list(rng.choice(_GOALS).items()), 2)
    before, after = (Shot(cast.ground, (Placed(cast.thing, at, _MOVED),)) for at in (start, goal))
    return before, after, say(rng, f"Move {what} {where}", f"Shift {what} {where}")


def _resize(cast: Cast) -> Edit:
    rng, what = cast.rng, cast.thing.name.definite
    small, large = (Shot(cast.ground, (Placed(cast.thing, (0.5, 0.52), box),)) for box in (_SMALL, _LARGE))
    if rng.random() < 0.5:
        return small, large, say(rng, f"Make {what} bigger", f"Make {what} larger", f"Enlarge {what}")
    return large, small, say(rng, f"Make {what} smaller", f"Shrink {what}", f"Scale {what} down")


def _background(cast: Cast) -> Edit:
    rng, what, ground = cast.rng, cast.thing.name.definite, cast.new_ground
    here = (Placed(cast.thing, rng.choice(list(_PLACES.values())), _ALONE),)
    if ground.parent is None:
        text = say(
            rng,
            f"Make the background {ground.words}",
            f"Change the background to plain {ground.words}",
            f"Put {what} in front of a plain {ground.words} background",
        )
    else:
        text = say(rng, f"Change the background to {ground.words}", f"Put {what} in front of {ground.words}")
    return Shot(cast.ground, here), Shot(ground, here), text


def _zoom(cast: Cast) -> Edit:
    rng, what = cast.rng, cast.thing.name.definite
    if rng.random() < _NEARER_SHARE:
        wide = Shot(cast.ground, (Placed(cast.thing, rng.choice(list(_PLACES.values())), _SMALL),))
        return (
            wide,
            close_up(wide, _CLOSE_UP),
            say(rng, f"Zoom in on {what}", f"Take a closer look at {what}"),
        )
    wide = Shot(cast.ground, (Placed(cast.thing, (0.5, 0.5), _SMALL),))
    return close_up(wide, _CLOSE_UP), wide, say(rng, "Zoom out", f"Show {what} from further away")


_MAKERS: dict[EditTask, Callable[[Cast], Edit]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "recolour": _recolour,
    "move": _move,
    "resize": _resize,
    "background": _background,
    "zoom": _zoom,
}
CUTOUT_TASKS = frozenset(_MAKERS)


def _side_by_side(thing: Thing, other: Thing, rng: random.Random) -> tuple[Placed, Placed]:
    """Two things, one on the left and one on the right."""
    here, there = rng.sample([_PLACES["on the left"], _PLACES["on the right"]], 2)
    return Placed(thing, here, _ONE_OF_TWO), Placed(other, there, _ONE_OF_TWO)


def _cast(
    material: Material,
    company: Sequence[Material],
    rng: random.Random,
    settings: SyntheticEdits,
    max_pixels: int,
) -> Cast:
    thing = _thing(material, settings, max_pixels)
    other = _other(thing, company, rng, settings, max_pixels)
    size = canvas_size(thing, _ALONE, settings.max_side, rng)
    things = [thing, other] if other else [thing]
    photos = [one for one in company if one.kind == "picture" and one.is_whole]
    first = _pick(photos, rng)
    ground = _photo(first, size, max_pixels) if first else plain_ground(size, things, rng)
    second = _pick([one for one in photos if one.name and (not first or one.name != first.name)], rng)
    new = _photo(second, size, max_pixels) if second else plain_ground(size, things, rng, ground.words)
    return Cast(thing, other, ground, new, rng)


def _thing(material: Material, settings: SyntheticEdits, max_pixels: int) -> Thing:
    layer = material.layer(max_pixels)
    if max(layer.size) < settings.min_object:
        detail = f"{layer.width}x{layer.height} pixels, the limit is {settings.min_object}"
        raise CannotEditError("object_too_small", detail)
    return Thing(layer, material.name or NAMELESS, material.name is not None, material.sample_id)


def _other(
    thing: Thing,
    company: Sequence[Material],
    rng: random.Random,
    settings: SyntheticEdits,
    max_pixels: int,
) -> Thing | None:
    """Another object of the tar, one with a name of its own."""
    others = [one for one in company if one.kind == "cutout" and one.name and one.name != thing.name]
    if not others:
        return None
    try:
        return _thing(rng.choice(others), settings, max_pixels)
    except CannotEditError:
        return None


def _pick(photos: Sequence[Material], rng: random.Random) -> Material | None:
    """One of the pictures, or none: each is as likely as a plain ground of one colour."""
    number = rng.randrange(len(photos) + len(COLORS))
    return photos[number] if number < len(photos) else None


def _photo(material: Material, size: tuple[int, int], max_pixels: int) -> Ground:
    words = material.name.indefinite if material.name else ""
    return photo_ground(material.picture(max_pixels), size, words, material.sample_id)
