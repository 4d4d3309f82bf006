"""What captions call things: names that read well in instructions, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.curate.edit.operations.names import name_of


@pytest.mark.parametrize(
    ("caption", "definite", "indefinite"),
    [
        ("A brown bear.", "the brown bear", "a brown bear"),
        ("a photo of an orange star on the left", "the orange star", "an orange star"),
        ("A silver garbage can.", "the silver garbage can", "a silver garbage can"),
        ("The treble clef", "the treble clef", "the treble clef"),
        ("Two wild boars.", "the two wild boars", "two wild boars"),
        ("Some cherries.", "the cherries", "some cherries"),
        ("A football used in Australian Rules.", "the football", "a football"),
        ("A man with a hat", "the man", "a man"),
        ("A baby sheep (a lamb).", "the baby sheep", "a baby sheep"),
        ("The caboose—a carriage for the guard.", "the caboose", "the caboose"),
        ("A European coin of 1 euro (1 €).", "the European coin of 1 euro", "a European coin of 1 euro"),
    ],
)
def test_the_first_noun_phrase_is_the_name(caption: str, definite: str, indefinite: str) -> None:
    name = name_of(caption)
    assert name is not None
    assert (name.definite, name.indefinite) == (definite, indefinite)


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "Sad!",
        "Less than or equal to.",
        "Eat your broccoli!",
        "This means something can be recycled.",
        "A cat and a dog",
        "A ripe, red tomato!",
        "A spider dancing with a fly.",
        "A hoverfly resembles a honeybee drone.",
        "The tender carries water and coal for the engine.",
        "A small old tired brown wooden bear",
    ],
)
def test_what_is_no_plain_noun_phrase_has_no_name(caption: str) -> None:
    assert name_of(caption) is None


@given(st.text(max_size=200))
def test_whatever_the_caption_a_name_is_short_and_on_one_line(caption: str) -> None:
    name = name_of(caption)
    if name is not None:
        assert len(name.definite.split()) <= 7
        assert "\n" not in name.definite
