"""Checkpoints on both kinds of storage: whole or invisible, few, and never code."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from infra import storage
from infra.errors import UserError
from jobs.train.checkpoints import Checkpoints
from jobs.train.world import alone


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else str(request.getfixturevalue("s3_root"))


def open_checkpoints(root: str, layout: dict[str, int] | None = None) -> Checkpoints:
    with alone(lambda *_: None) as world:
        return Checkpoints(f"{root}/checkpoints", world, layout or {"workers": 1})


def test_the_newest_two_stay_and_come_back_as_they_were(root: str) -> None:
    checkpoints = open_checkpoints(root)
    for step in (2, 4, 6):
        state = {"weights": torch.full((3,), step / 7), "groups": [{"lr": 0.1, "step": step}]}
        checkpoints.save(step, state, pa.table({"step": list(range(step))}))
    assert checkpoints.steps() == [4, 6]
    assert not [f for f in storage.list_files(root) if "step-00000002" in f.uri]
    state = checkpoints.load(4, 0)
    assert torch.equal(state["weights"], torch.full((3,), 4 / 7))
    assert state["groups"] == [{"lr": 0.1, "step": 4}]
    assert checkpoints.metrics(4).num_rows == 4


def test_another_layout_is_one_line(root: str) -> None:
    open_checkpoints(root).save(2, {}, pa.table({"step": [1]}))
    with pytest.raises(UserError, match="written with workers = 1, the recipe says 4"):
        open_checkpoints(root, {"workers": 4}).load(2, 0)


def test_a_state_that_would_run_code_is_refused(root: str) -> None:
    checkpoints = open_checkpoints(root)
    checkpoints.save(2, {}, pa.table({"step": [1]}))
    buffer = io.BytesIO()
    torch.save({"harmful": Path("anything")}, buffer)  # any class of Python's needs unpickling
    storage.publish_bytes(f"{root}/checkpoints/step-00000002/rank-00000.pt", buffer.getvalue())
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        checkpoints.load(2, 0)
