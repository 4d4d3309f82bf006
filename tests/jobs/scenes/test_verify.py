"""The verifier reads its world right, through blur and noise, and is not talked into what is not there."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from jobs.scenes.draw import draw
from jobs.scenes.find import Found, find_shapes
from jobs.scenes.prompts import fixed_prompts
from jobs.scenes.truth import Clause, Truth, truth_of
from jobs.scenes.verify import Verdict, judge, verify
from jobs.scenes.world import KINDS, Scene, Shape, sample_scene

RED = (220, 30, 40)
WHITE = (245, 245, 245)


def _worsen(image: Image.Image, number: int) -> Image.Image:
    """Blur, noise and JPEG: some 28 dB, like a reconstruction from few codes."""
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(0.8)), np.float64)
    noisy = soft + np.random.default_rng(number).normal(0, 6, soft.shape)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def _coarsen(image: Image.Image, number: int) -> Image.Image:
    """Detail of 20 x 20 pixels and blotches of colour: some 25 dB."""
    soft = np.asarray(image.resize((20, 20), Image.Resampling.BOX).resize(image.size), np.float64)
    blotches = np.random.default_rng(number).normal(0, 10, (16, 16, 3)).repeat(4, 0).repeat(4, 1)
    return Image.fromarray((soft + blotches).clip(0, 255).round().astype(np.uint8))


def _share(verdicts: list[Verdict]) -> float:
    clauses = [clause.passed for verdict in verdicts for clause in verdict.clauses]
    return sum(clauses) / len(clauses)


@pytest.mark.parametrize("size", [64, 128])
def test_true_claims_pass_on_its_own_pictures(size: int) -> None:
    scenes = [sample_scene(11, index) for index in range(500)]
    assert _share([verify(draw(scene, size), truth_of(scene)) for scene in scenes]) >= 0.99


def test_claims_about_another_picture_fail() -> None:
    scenes = [sample_scene(12, index) for index in range(500)]
    others = scenes[1:] + scenes[:1]
    verdicts = [verify(draw(a, 64), truth_of(b)) for a, b in zip(scenes, others, strict=True)]
    assert sum(verdict.passed for verdict in verdicts) <= 5


@pytest.mark.parametrize("spoil", [_worsen, _coarsen])
def test_soft_and_noisy_pictures_are_still_read(spoil: Callable[[Image.Image, int], Image.Image]) -> None:
    scenes = [sample_scene(13, index) for index in range(500)]
    found = [find_shapes(spoil(draw(scene, 64), number)) for number, scene in enumerate(scenes)]
    verdicts = [Verdict(judge(seen, truth_of(scene))) for seen, scene in zip(found, scenes, strict=True)]
    assert _share(verdicts) >= 0.97
    assert min(_recall_by_kind(found, scenes).values()) >= 0.9


def _recall_by_kind(found: list[Found], scenes: list[Scene]) -> dict[str, float]:
    """For each kind, the share of its shapes seen with the right kind, colour and size."""
    there = Counter(shape.kind for scene in scenes for shape in scene.shapes)
    pairs = zip(found, scenes, strict=True)
    right = Counter(s.kind for seen, scene in pairs for s in scene.shapes if _is_seen(seen, s))
    return {kind: right[kind] / there[kind] for kind in KINDS}


def _is_seen(found: Found, shape: Shape) -> bool:
    return any(
        (region.kind, region.color, region.size) == (shape.kind, shape.color, shape.size)
        and abs(region.x - shape.x) < 0.1
        and abs(region.y - shape.y) < 0.1
        for region in found.regions
    )


@pytest.mark.parametrize("field", ["kind", "color", "size", "count", "background", "position"])
def test_one_wrong_word_is_noticed(field: str) -> None:
    image, truth = _red_circle_left_of_blue_square()
    assert verify(image, truth).passed
    first, second = truth.include
    wrong: dict[str, Truth] = {
        "kind": _with_first(truth, first.model_copy(update={"kind": "star"})),
        "color": _with_first(truth, first.model_copy(update={"color": "blue"})),
        "size": _with_first(truth, first.model_copy(update={"size": "large"})),
        "count": _with_first(truth, first.model_copy(update={"count": 2})),
        "background": truth.model_copy(update={"background": "black"}),
        "position": truth.model_copy(
            update={"include": (first, second.model_copy(update={"position": ("left of", 0)}))}
        ),
    }
    verdict = verify(image, wrong[field])
    assert not verdict.passed
    assert sum(not clause.passed for clause in verdict.clauses) >= 1
    assert 0 < verdict.score < 1


def _red_circle_left_of_blue_square() -> tuple[Image.Image, Truth]:
    circle = Shape("circle", "red", "small", 0.2, 0.5, 0.24)
    square = Shape("square", "blue", "medium", 0.7, 0.5, 0.32)
    scene = Scene((circle, square), "white")
    return draw(scene, 64), truth_of(scene)


def _with_first(truth: Truth, clause: Clause) -> Truth:
    return truth.model_copy(update={"include": (clause, *truth.include[1:])})


def test_a_shape_too_many_is_noticed() -> None:
    image, _ = _red_circle_left_of_blue_square()
    alone = Truth(tag="single_object", include=(Clause(kind="circle"),), exclude=(Clause(count=2),))
    assert [clause.passed for clause in verify(image, alone).clauses] == [True, False]


def test_pictures_that_show_nothing_meet_no_prompt() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    nothing = [Image.new("RGB", (64, 64), WHITE), Image.new("RGB", (64, 64), RED), Image.fromarray(noise)]
    for image in nothing:
        assert not any(verify(image, prompt.truth).passed for prompt in fixed_prompts())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([2, 4, 16, 64, 128]), st.integers(2, 256))
def test_whatever_the_pixels_are_the_regions_have_finite_measures(seed: int, cells: int, levels: int) -> None:
    steps = np.random.default_rng(seed).integers(0, levels, (cells, cells, 3)) * 255 // (levels - 1)
    image = Image.fromarray(steps.astype(np.uint8)).resize((128, 128), Image.Resampling.NEAREST)
    for region in find_shapes(image).regions:
        assert -1 <= region.likeness <= 1.001
        assert 0 <= min(region.x, region.y) <= max(region.x, region.y) <= 1


@pytest.mark.parametrize(
    "corners",
    [
        [(20, 40), (110, 40), (110, 80), (20, 80)],  # a bar
        [(40, 30), (60, 30), (60, 80), (100, 80), (100, 100), (40, 100)],  # an L
        [(30, 30), (100, 30), (65, 100)],  # a triangle upside down
    ],
)
def test_other_forms_are_no_known_kind(corners: list[tuple[int, int]]) -> None:
    image = Image.new("RGB", (128, 128), WHITE)
    ImageDraw.Draw(image).polygon(corners, fill=RED)
    assert [(region.kind, region.color) for region in find_shapes(image).regions] == [(None, "red")]


def test_truths_that_claim_nothing_or_point_nowhere_are_refused() -> None:
    image, _ = _red_circle_left_of_blue_square()
    with pytest.raises(ValueError, match="claims nothing"):
        verify(image, Truth(tag="empty", include=()))
    astray = Truth(tag="position", include=(Clause(kind="circle", position=("above", 1)),))
    with pytest.raises(ValueError, match="clause 1 of 1"):
        verify(image, astray)
