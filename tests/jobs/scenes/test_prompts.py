"""The fixed prompts stay fixed, can be met, and their chance levels are what blind drawing gets."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from jobs.scenes.find import Found, Region
from jobs.scenes.prompts import chance_level, fixed_prompts
from jobs.scenes.truth import Truth, truth_of
from jobs.scenes.verify import judge
from jobs.scenes.world import CENTRES, COLORS, KINDS, sample_scene


def test_prompts_cover_all_tags_in_a_fixed_order() -> None:
    prompts = fixed_prompts()
    assert prompts == fixed_prompts()
    assert len({prompt.text for prompt in prompts}) == len(prompts)
    assert Counter(prompt.truth.tag for prompt in prompts) == {
        "single_object": 5,
        "colors": 8,
        "two_object": 4,
        "counting": 4,
        "position": 4,
        "color_attr": 4,
    }
    assert prompts[0].text == "a photo of a circle"
    assert prompts[21].text == "a photo of a red circle left of a blue square"


def test_every_single_object_colour_and_counting_prompt_is_met_by_some_scene() -> None:
    scenes = [truth_of(sample_scene(0, index)) for index in range(3000)]
    for prompt in fixed_prompts():
        if prompt.truth.tag in ("single_object", "colors", "counting"):
            assert any(_names(prompt.truth, scene) for scene in scenes), prompt.text


def _names(asked: Truth, there: Truth) -> bool:
    """Both speak of one group of shapes, and agree as far as `asked` goes."""
    if len(there.include) != 1:
        return False
    wanted, group = asked.include[0], there.include[0]
    return wanted.kind == group.kind and wanted.count == group.count and wanted.color in (None, group.color)


@pytest.mark.parametrize("tag", ["single_object", "colors", "two_object", "counting"])
def test_chance_is_what_blind_drawing_gets(tag: str) -> None:
    prompts = [prompt for prompt in fixed_prompts() if prompt.truth.tag == tag]
    rng = random.Random(0)
    draws = 4_000
    met = sum(
        _is_met(_draw_blindly(rng, prompt.truth), prompt.truth) for prompt in prompts for _ in range(draws)
    )
    measured = met / draws / len(prompts)
    assert measured == pytest.approx(chance_level(tag), rel=0.15)


def _draw_blindly(rng: random.Random, truth: Truth) -> Found:
    """Equal shapes of a random number for counting; else the right number of independent shapes."""
    number = rng.randint(1, 4) if truth.tag == "counting" else sum(clause.count for clause in truth.include)
    kinds = rng.choices(KINDS, k=number) if truth.tag != "counting" else [rng.choice(KINDS)] * number
    cells = rng.sample([(x, y) for x in CENTRES for y in CENTRES], number)
    regions = (
        Region(kind, rng.choice(list(COLORS)), "small", x, y, 1.0)
        for kind, (x, y) in zip(kinds, cells, strict=True)
    )
    return Found("white", tuple(regions))


def _is_met(found: Found, truth: Truth) -> bool:
    return all(clause.passed for clause in judge(found, truth))


def test_chance_of_one_kind_among_five() -> None:
    assert chance_level("single_object") == 1 / 5
    assert chance_level("position") < chance_level("color_attr") < chance_level("colors")
    with pytest.raises(ValueError, match="single_object"):
        chance_level("mood")
