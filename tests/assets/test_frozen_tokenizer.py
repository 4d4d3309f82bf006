"""A tokenizer trained on named drops stays as it is when others come; then new drops need no training."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest

from assets.locate import NotReadyError, Place, current_drops, locate
from assets.plan import StageResult
from assets.project import Project

Curated = tuple[Project, dg.DagsterInstance, list[StageResult]]


def trained_on(project: Project, drops: list[str] | None) -> Project:
    tokenizer = project.recipe.tokenizer.model_copy(update={"drops": drops})
    return replace(project, recipe=project.recipe.model_copy(update={"tokenizer": tokenizer}))


def place(curated: Curated, drops: list[str] | None, known: int) -> Place:
    """Where the first training is, with the drops named in the recipe, and `known` ones discovered."""
    project, instance, _ = curated
    found = current_drops(instance)
    seen = {**found, "t2i": found["t2i"][:known]}
    return locate(trained_on(project, drops), seen, "tokenizer/pixel")


def test_a_new_drop_changes_a_training_on_all_drops_only(curated: Curated) -> None:
    named = ["t2i-0000"]
    before, after = place(curated, named, 1), place(curated, named, 2)
    assert (before.folder, before.inputs) == (after.folder, after.inputs)
    assert len(after.inputs["t2i/captioned"]) == 1
    assert place(curated, None, 1).fingerprint != place(curated, None, 2).fingerprint


def test_it_is_the_training_on_the_drops_there_were(curated: Curated) -> None:
    """Naming the drops that it was trained on trains nothing anew."""
    assert place(curated, ["t2i-0000"], 2).folder == place(curated, None, 1).folder
    assert place(curated, ["t2i-0001", "t2i-0000"], 2).folder == place(curated, None, 2).folder


def test_a_drop_that_is_not_there_is_named(curated: Curated) -> None:
    with pytest.raises(
        NotReadyError, match=r"tokenizer.drops: no drop t2i-0007. Drops are t2i-0000, t2i-0001"
    ):
        place(curated, ["t2i-0007"], 2)
