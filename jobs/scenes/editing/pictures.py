"""Edits of a whole scene: background, lighting, zoom, viewpoint, text, style."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from jobs.scenes.editing import paint
from jobs.scenes.editing.changes import TURNING_KINDS, magnified, mirrored, turned
from jobs.scenes.editing.edit import Look, SceneEdit, claims, claims_of, clearly, clearly_not, looks, say
from jobs.scenes.editing.refer import single_targets
from jobs.scenes.truth import RELATIONS, Clause, Relation
from jobs.scenes.world import BACKGROUNDS, COLORS, KINDS, Scene

LIGHT_WORDS: dict[str, tuple[str, ...]] = {
    "third": ("Darken the whole picture by a third", "Make everything a third darker"),
    "half": (
        "Make the whole picture half as bright",
        "Darken everything to half its brightness",
        "Halve the brightness of the picture",
    ),
    "double": ("Make the whole picture twice as bright", "Double the brightness of the picture"),
    "fade": ("Lighten the whole picture halfway to white", "Fade everything halfway to white"),
}
WORDS = ("HELLO", "STOP", "OPEN", "HOME", "PLAY", "YES", "WOW", "NEW", "LOVE", "GO")
_TEXT_PLACES = {"at the top": 0.14, "at the bottom": 0.86, "in the middle": 0.5}
_TEXT_GAP = 0.05
_NEARER = ("Zoom in on", "Take a closer look at", "Move the camera closer to")
_FURTHER = ("Zoom out", "Zoom out a little", "Show the scene from further away")
_MIRROR = ("Mirror the picture", "Flip the picture horizontally", "Swap left and right")
_NEGATIVE = ("Invert all colors", "Turn the picture into a negative", "Show the negative of this picture")
_GRAY = ("Make the picture black and white", "Remove all color from it", "Turn the picture grayscale")
_OUTLINES = (
    "Show only the outlines",
    "Turn the picture into a line drawing",
    "Draw outlines, not filled shapes",
)
_TURNS = {
    1: ("Turn the picture by 90 degrees clockwise", "Rotate the picture a quarter turn to the right"),
    2: ("Turn the picture upside down", "Rotate the picture by 180 degrees"),
    3: ("Turn the picture by 90 degrees counterclockwise", "Rotate the picture a quarter turn to the left"),
}


def background(scene: Scene, rng: random.Random) -> SceneEdit:
    """The same shapes on another ground."""
    color, wrong = rng.sample([name for name in BACKGROUNDS if name != scene.background], 2)
    after = replace(scene, background=color)
    text = say(
        rng,
        f"Make the background {color}",
        f"Change the background to {color}",
        f"Change the background from {scene.background} to {color}",
        f"Replace the {scene.background} background with a {color} one",
    )
    mistakes = {"color": replace(scene, background=wrong)}
    return SceneEdit("background", text, scene, after, claims_of("background", after), mistakes=mistakes)


def lighting(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """All pixels darker or brighter by an amount; the background then goes by another name."""
    lights = []
    for light in paint.LIGHTS:
        change = paint.lit(light)
        ground = paint.name_of(change(BACKGROUNDS[scene.background]))
        if ground in BACKGROUNDS and ground != scene.background and paint.stays_clear(scene, change):
            lights.append((light, ground))
    if not lights:
        return None
    light, ground = rng.choice(lights)
    truth = claims("lighting", _without_colors(scene), ground)
    text = say(rng, *LIGHT_WORDS[light])
    return SceneEdit("lighting", text, scene, scene, truth, partial(paint.draw_lit, light=light))


def zoom(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """Looked at from nearer, with one shape in the middle, or from further away."""
    found: list[tuple[Scene | None, tuple[str, ...]]] = []
    for target in single_targets(scene, rng):
        shape = scene.shapes[min(target.members)]
        if shape.size != "large":
            words = tuple(f"{start} {target.words}" for start in _NEARER)
            found.append((magnified(scene, shape.x, shape.y, shape.size, "large"), words))
    for old in ("large", "medium"):
        if any(shape.size == old for shape in scene.shapes):
            found.append((magnified(scene, 0.5, 0.5, old, "small"), _FURTHER))
    possible = [(after, words) for after, words in found if after]
    if not possible:
        return None
    after, wordings = rng.choice(possible)
    return SceneEdit("zoom", say(rng, *wordings), scene, after, claims_of("zoom", after))


def viewpoint(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """Mirrored, or turned: how two shapes lie to each other tells it."""
    views: list[tuple[Scene, tuple[str, ...]]] = [(mirrored(scene), _MIRROR)]
    if all(shape.kind in TURNING_KINDS for shape in scene.shapes):
        views += [(turned(scene, quarters), words) for quarters, words in _TURNS.items()]
    told = [(after, words, found) for after, words in views for found in _new_relations(scene, after)]
    if not told:
        return None
    after, words, relation = rng.choice(told)
    truth = claims("viewpoint", looks(after), scene.background, relation)
    return SceneEdit("viewpoint", say(rng, *words), scene, after, truth)


def text(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """A word where there is nothing else."""
    visible = [c for c in ("white", "black", *COLORS) if paint.is_visible(c, scene.background)]
    color, word = rng.choice(visible), rng.choice(WORDS)
    free = [
        (where, lettering)
        for where, y in _TEXT_PLACES.items()
        if _is_free(scene, lettering := paint.Lettering(word, color, 0.5, y))
    ]
    if not free:
        return None
    where, lettering = rng.choice(free)
    wording = say(
        rng,
        f'Write "{word}" in {color} {where}',
        f'Add the word "{word}" {where} in {color}',
        f'Put the text "{word}" {where}, in {color} letters',
    )
    claimed = claims_of("text", scene)
    more = Clause(count=len(scene.shapes) + 1)  # letters are seen, too
    truth = claimed.model_copy(update={"include": (*claimed.include, more), "exclude": ()})
    return SceneEdit("text", wording, scene, scene, truth, partial(paint.draw_with_text, text=lettering))


def style(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """As outlines, as a negative, or without colours."""
    found = [edit for maker in (_outlines, _negative, _gray) if (edit := maker(scene, rng))]
    return rng.choice(found) if found else None


def _outlines(scene: Scene, rng: random.Random) -> SceneEdit | None:
    if not paint.is_hollow(scene):
        return None
    wording = say(rng, *_OUTLINES)
    claimed = claims("style", [(None, s.color, None) for s in scene.shapes], scene.background)
    filled = tuple(Clause(kind=kind) for kind in KINDS)
    truth = claimed.model_copy(update={"exclude": (*claimed.exclude, *filled)})
    return SceneEdit("style", wording, scene, scene, truth, paint.draw_outlines)


def _negative(scene: Scene, rng: random.Random) -> SceneEdit:
    wording = say(rng, *_NEGATIVE)
    ground = paint.name_of(paint.inverted(BACKGROUNDS[scene.background]))
    seen = [(s.kind, paint.shape_color(paint.inverted(COLORS[s.color])), s.size) for s in scene.shapes]
    truth = claims("style", seen, ground)
    return SceneEdit("style", wording, scene, scene, truth, paint.draw_inverted)


def _gray(scene: Scene, rng: random.Random) -> SceneEdit | None:
    wording = say(rng, *_GRAY)
    colors = dict.fromkeys(shape.color for shape in scene.shapes)
    if not paint.stays_clear(scene, paint.gray):
        return None
    if any(paint.shape_color(paint.gray(COLORS[color])) in colors for color in colors):
        return None
    claimed = claims("style", _without_colors(scene), scene.background)
    colorful = tuple(Clause(color=color) for color in colors)
    truth = claimed.model_copy(update={"exclude": (*claimed.exclude, *colorful)})
    return SceneEdit("style", wording, scene, scene, truth, paint.draw_gray)


def _without_colors(scene: Scene) -> list[Look]:
    return [(shape.kind, None, shape.size) for shape in scene.shapes]


def _new_relations(before: Scene, after: Scene) -> Iterator[tuple[Look, Relation, Look]]:
    """Relations of two shapes, unlike all others, that hold after and did not before."""
    seen = looks(after)
    single = [n for n, look in enumerate(seen) if seen.count(look) == 1]
    for (first, second), relation in itertools.product(itertools.permutations(single, 2), RELATIONS):
        new = clearly_not(relation, before.shapes[first], before.shapes[second])
        if new and clearly(relation, after.shapes[first], after.shapes[second]):
            yield seen[first], relation, seen[second]


def _is_free(scene: Scene, text: paint.Lettering) -> bool:
    """Whether a word would keep away from all shapes and from the edge."""
    width, height = text.box
    if max(width / 2 + abs(text.x - 0.5), height / 2 + abs(text.y - 0.5)) > 0.5:
        return False
    return all(
        abs(s.x - text.x) >= (s.side + width) / 2 + _TEXT_GAP
        or abs(s.y - text.y) >= (s.side + height) / 2 + _TEXT_GAP
        for s in scene.shapes
    )
