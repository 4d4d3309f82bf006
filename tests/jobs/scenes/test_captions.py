"""Captions are read back with a grammar of their own here, and hold against the scene."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.scenes.captions import caption, phrase
from jobs.scenes.world import BACKGROUNDS, COLORS, KINDS, SIZES, Shape, sample_scene

NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4}
NOUN = re.compile(
    rf"\b({'|'.join(NUMBERS)})(?: ({'|'.join(SIZES)}))?(?: ({'|'.join(COLORS)}))?"
    rf" ({'|'.join(KINDS)})(?:e?s)?\b"
)
RELATION = re.compile(r"\b(left of|right of|above|below)\b")
PLACE = re.compile(r" at the (?:(top|bottom) ?)?(left|right|center)?")
DIRECTIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
INDICES = st.integers(0, 2**31)


def _matching(shapes: tuple[Shape, ...], noun: re.Match[str]) -> list[Shape]:
    _, size, color, kind = noun.groups()
    return [s for s in shapes if s.kind == kind and color in (None, s.color) and size in (None, s.size)]


@settings(max_examples=400)
@given(INDICES, INDICES)
def test_every_noun_phrase_counts_right_and_nothing_is_left_out(seed: int, index: int) -> None:
    scene = sample_scene(seed, index)
    nouns = list(NOUN.finditer(caption(scene, seed, index)))
    for noun in nouns:
        assert len(_matching(scene.shapes, noun)) == NUMBERS[noun[1]]
    assert sum(NUMBERS[noun[1]] for noun in nouns) == len(scene.shapes)


@settings(max_examples=400)
@given(INDICES, INDICES)
def test_relations_places_and_backgrounds_are_true(seed: int, index: int) -> None:
    scene = sample_scene(seed, index)
    text = caption(scene, seed, index)
    if relation := RELATION.search(text):
        first, second = (_matching(scene.shapes, noun)[0] for noun in NOUN.finditer(text))
        dx, dy = DIRECTIONS[relation[1]]
        along = (first.x - second.x) * dx + (first.y - second.y) * dy
        assert along > 0.2
        assert along >= max(abs(first.x - second.x), abs(first.y - second.y))
    if place := PLACE.search(text):
        shape = scene.shapes[0]
        assert place[1] == {0: "top", 1: None, 2: "bottom"}[int(shape.y * 3)]
        assert place[2] in ({0: "left", 1: None, 2: "right"}[int(shape.x * 3)], "center")
        assert (place[2] == "center") == (int(shape.x * 3) == int(shape.y * 3) == 1)
    if ground := re.search(r" on a (\w+) background$", text):
        assert ground[1] == scene.background
        assert ground[1] in BACKGROUNDS


def test_a_shape_alone_is_in_the_middle_or_its_place_is_told() -> None:
    singles = [index for index in range(500) if len(sample_scene(0, index).shapes) == 1]
    told = {index for index in singles if " at the " in caption(sample_scene(0, index), 0, index)}
    middle = {index for index in singles if _in_the_middle(sample_scene(0, index).shapes[0])}
    assert told | middle == set(singles)
    assert 0.5 < len(middle) / len(singles) < 0.8
    assert 0 < len(middle & told) < len(middle) / 2


def _in_the_middle(shape: Shape) -> bool:
    return abs(shape.x - 0.5) < 0.1 and abs(shape.y - 0.5) < 0.1


def test_captions_vary() -> None:
    texts = [caption(sample_scene(0, index), 0, index) for index in range(500)]
    assert len(set(texts)) > 400
    words = Counter(word for text in texts for word in text.replace(",", "").split())
    assert all(
        words[word] for word in (*COLORS, *SIZES, *BACKGROUNDS, "left", "above", "two", "three", "four")
    )
    assert min(map(len, texts)) < 20
    assert max(map(len, texts)) > 80


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("circle",), "a circle"),
        (("square", 1, "orange"), "an orange square"),
        (("cross", 2, "red", "small"), "two small red crosses"),
        (("star", 5), "5 stars"),
    ],
)
def test_phrases_are_english(arguments: tuple[str], text: str) -> None:
    assert phrase(*arguments) == text
