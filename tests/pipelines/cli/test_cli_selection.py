"""`--select`: what a selection reaches, and what it says when it reaches nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.graph import job_assets
from assets.selection import select
from infra.errors import UserError
from infra.yaml_model import load_yaml_model
from jobs.recipe import Recipe
from pipelines.cli.selection import with_upstream
from pipelines.cli.workspace import SHIPPED

ASSETS = job_assets(load_yaml_model(Recipe, str(SHIPPED / "demo.yaml")))
KEYS = [asset.key for asset in ASSETS]


def reach(selection: str) -> list[str]:
    """The assets that the planner makes for a selection."""
    return [asset.key for asset in select(ASSETS, with_upstream(selection, ASSETS))]


def test_a_key_stops_there_and_takes_what_it_needs() -> None:
    learnt = ["t2i/scored", "t2i/filtered", "tokenizer/semantic"]
    curated = [f"t2i/{name}" for name in ("embedded", "selected", "topics", "balanced", "captioned")]
    assert reach("t2i/captioned") == learnt + curated
    assert reach("+t2i/captioned") == reach("t2i/captioned")


def test_groups_patterns_and_lists() -> None:
    assert reach("group:curation_t2i") == reach("t2i/captioned") == reach("t2i/*")
    assert "tokenizer/joint" in reach("tokens/t2i")
    assert reach("t2i/topics, tokenizer/joint") == reach("tokenizer/joint")
    assert reach("training/*") == reach("group:training")


def test_downstream_takes_what_it_needs_beside() -> None:
    assert reach("tokenizer/joint+") == KEYS, "the packs mix every family"
    assert "text/mixed" not in reach("packs/alignment")
    assert set(reach("packs/pretrain_256+")) >= {"evaluation/pretrain_256/fixed_prompts", "packs/alignment"}


@given(st.lists(st.sampled_from([*KEYS, *(f"{key}+" for key in KEYS), "t2i/*", "group:tokens"]), min_size=1))
def test_nothing_that_is_needed_is_left_out(terms: list[str]) -> None:
    chosen = reach(",".join(terms))
    inputs = {asset.key: {key for key in asset.inputs if not key.startswith("raw/")} for asset in ASSETS}
    assert all(inputs[key] <= set(chosen) for key in chosen)
    assert {term for term in terms if term in KEYS} <= set(chosen)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("t2i/captoined", "--select: 't2i/captoined' selects nothing. Did you mean 't2i/captioned'?"),
        ("group:curaton", "--select: 'group:curaton' selects nothing. Did you mean 'group:curation_t2i'?"),
        ("zzz", f"--select: 'zzz' selects nothing. Assets: {', '.join(KEYS)}"),
        (" , ", f"--select: the selection is empty. Assets: {', '.join(KEYS)}"),
    ],
)
def test_what_reaches_nothing_says_so(selection: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        with_upstream(selection, ASSETS)
    assert str(caught.value) == message
