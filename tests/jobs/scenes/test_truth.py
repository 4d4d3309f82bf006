"""Truths survive JSON, say everything, and use GenEval's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.scenes.truth import RELATIONS, Relation, Truth, holds, relation_between, truth_of
from jobs.scenes.world import Shape, sample_scene

INDICES = st.integers(0, 2**31)


@given(INDICES, INDICES)
def test_truths_read_back_from_json(seed: int, index: int) -> None:
    truth = truth_of(sample_scene(seed, index))
    assert Truth.model_validate_json(truth.to_json()) == truth
    assert Truth.model_validate(truth.to_dict()) == truth
    assert json.loads(truth.to_json()) == truth.to_dict()


@given(INDICES, INDICES)
def test_truths_count_every_shape_and_forbid_one_more(seed: int, index: int) -> None:
    scene = sample_scene(seed, index)
    truth = truth_of(scene)
    assert sum(clause.count for clause in truth.include) == len(scene.shapes)
    assert [clause.count for clause in truth.exclude] == [len(scene.shapes) + 1]


@given(INDICES, INDICES)
def test_the_claimed_relation_of_two_shapes_holds_and_its_opposite_does_not(seed: int, index: int) -> None:
    scene = sample_scene(seed, index)
    if len(scene.shapes) != 2:
        return
    first, second = scene.shapes
    relation = relation_between(first, second)
    dx, dy = first.x - second.x, first.y - second.y
    assert holds(relation, dx, dy)
    assert not holds(relation, -dx, -dy)


@pytest.mark.parametrize("relation", list(RELATIONS))
def test_a_hair_is_no_relation(relation: Relation) -> None:
    x, y = RELATIONS[relation]
    assert holds(relation, 0.3 * x, 0.3 * y)
    assert not holds(relation, 0.05 * x, 0.05 * y)


def test_the_json_uses_the_words_of_geneval() -> None:
    shape = {"class": "star", "count": 1, "color": "green", "position": ["left of", 0]}
    truth = Truth.model_validate({"tag": "position", "include": [shape]})
    assert truth.include[0].kind == "star"
    assert truth.to_dict()["include"] == [shape]


def test_relations_nobody_defined_are_refused() -> None:
    with pytest.raises(ValidationError, match="behind"):
        Truth.model_validate({"tag": "position", "include": [{"class": "star", "position": ["behind", 0]}]})


def test_left_is_smaller_x() -> None:
    left = Shape("star", "red", "small", 0.2, 0.5, 0.24)
    right = Shape("star", "red", "small", 0.8, 0.6, 0.24)
    assert relation_between(left, right) == "left of"
    assert relation_between(right, left) == "right of"
