"""Scenes are pure functions of (seed, index), fit in the picture, and keep their distance."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.scenes.draw import draw, png_bytes
from jobs.scenes.sample import make_sample
from jobs.scenes.world import BACKGROUNDS, COLORS, KINDS, SIZES, Scene, sample_scene

scenes = st.builds(sample_scene, st.integers(0, 2**31), st.integers(0, 2**31))


@given(scenes)
def test_shapes_lie_inside_and_never_touch(scene: Scene) -> None:
    assert 1 <= len(scene.shapes) <= 4
    for shape in scene.shapes:
        assert shape.side / 2 < min(shape.x, shape.y, 1 - shape.x, 1 - shape.y)
    for a, b in combinations(scene.shapes, 2):
        assert max(abs(a.x - b.x), abs(a.y - b.y)) > (a.side + b.side) / 2


def test_every_look_occurs_and_half_of_the_scenes_are_one_shape() -> None:
    world = [sample_scene(0, index) for index in range(2000)]
    numbers = Counter(len(scene.shapes) for scene in world)
    assert 0.45 < numbers[1] / len(world) < 0.55
    assert set(numbers) == {1, 2, 3, 4}
    shapes = [shape for scene in world for shape in scene.shapes]
    assert {(s.kind, s.color) for s in shapes} == {(k, c) for k in KINDS for c in COLORS}
    assert {s.size for s in shapes} == set(SIZES)
    assert {scene.background for scene in world} == set(BACKGROUNDS)


def test_the_same_seed_and_index_give_the_same_record_whatever_else_is_drawn() -> None:
    random.seed(1)
    one = make_sample(3, 5, 64)
    random.seed(2)
    make_sample(3, 4, 64)
    assert make_sample(3, 5, 64) == one
    assert make_sample(4, 5, 64) != one


def test_known_scenes_never_change() -> None:
    told = "\n".join(f"{sample_scene(0, index)} {make_sample(0, index, 32).caption}" for index in range(100))
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "c0140e94a43f0f6f"


@pytest.mark.parametrize("size", [32, 64, 100, 1024])
def test_a_scene_is_drawn_in_its_colours_at_any_size(size: int) -> None:
    scene = sample_scene(0, 1)
    image = draw(scene, size)
    assert (image.size, image.mode) == ((size, size), "RGB")
    shape = scene.shapes[0]
    assert image.getpixel((int(shape.x * size), int(shape.y * size))) == COLORS[shape.color]
    assert image.getpixel((0, 0)) == BACKGROUNDS[scene.background]
    assert png_bytes(image) == png_bytes(draw(scene, size))


@pytest.mark.parametrize("size", [0, 31, 1025])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r"32\.\.1024"):
        draw(sample_scene(0, 0), size)
