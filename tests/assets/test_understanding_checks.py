"""The checks of understanding: they fail for a wrong output, and for no right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from assets.checks import Published
from assets.checks.understanding import LIMITS, TASKS
from infra.catalogue import Counts
from infra.manifest import Manifest, Output
from jobs.curate.understanding.tasks import choose_task
from jobs.recipe.curation.understanding import Dialogues
from jobs.recipe.sources import LlavaOneVisionSource
from jobs.recipe.vlm import VlmSettings
from jobs.specs.understanding import DialoguesSettings, WriteSettings

Row = dict[str, Any]

VLM: VlmSettings = TypeAdapter(VlmSettings).validate_python({"kind": "source"})


def published(folder: Path, asset: str, rows: list[Row], settings: Any) -> Published:
    entry = Output(str(folder)).publish_table("data/catalogue.parquet", pa.Table.from_pylist(rows))
    counts = Counts(total=len(rows), kept=len(rows))
    manifest = Manifest(asset=asset, partition="d", fingerprint="f", files=(entry,), counts=counts)
    return Published(str(folder), manifest, {}, settings)


def shares(rewritten: float = 0.5, knowledge: float = 0.1, inverted: float = 0.1) -> WriteSettings:
    return WriteSettings(rewritten=rewritten, knowledge=knowledge, inverted=inverted, text_rich=None, vlm=VLM)


def tasks(folder: Path, names: list[str | None], settings: WriteSettings) -> bool:
    rows = [{"source": str(n), "status": "kept", "task": name} for n, name in enumerate(names)]
    verdict = TASKS.run(published(folder, "understanding/written", rows, settings))
    assert verdict.why
    assert "\n" not in verdict.why
    return verdict.passed


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("number", [1, 3, 40, 3000])
def test_shares_drawn_by_lot_hold(tmp_path: Path, number: int, seed: int) -> None:
    settings = shares()
    names = [choose_task(n, None, settings, seed) for n in range(number)]
    assert tasks(tmp_path, names, settings)


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (["inverted"], shares(inverted=0.02)),
        (["knowledge", "knowledge", None], shares(knowledge=0.01)),
        (["text_rich"] * 9 + ["rewritten"], shares()),
        (["rewritten"] * 4, shares(1, 0, 0)),
        ([None] * 4, shares(0, 0, 0)),
    ],
)
def test_few_pictures_may_all_have_one_task(
    tmp_path: Path, names: list[str | None], settings: WriteSettings
) -> None:
    """One of fifty, drawn once, is no mistake of the job."""
    assert tasks(tmp_path, names, settings)


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (["rewritten"] * 100, shares()),
        ([None] * 100, shares()),
        (["inverted"] * 300 + ["rewritten"] * 700, shares()),
        (["rewritten"] * 3 + [None], shares(1, 0, 0)),
        (["knowledge"], shares(1, 0, 0)),
    ],
)
def test_other_shares_are_found(tmp_path: Path, names: list[str | None], settings: WriteSettings) -> None:
    assert not tasks(tmp_path, names, settings)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"pictures": []}, True),
        ({"pictures": [{"width": 31, "height": 99}]}, False),
        ({"pictures": [{"width": 99, "height": 99}, {"width": 99, "height": 31}]}, False),
        ({"characters": 501}, False),
        ({"characters": 501, "status": "rejected"}, True),
    ],
)
def test_kept_dialogues_are_within_their_limits(tmp_path: Path, change: Row, holds: bool) -> None:
    row = {"source": "a", "status": "kept", "characters": 500, "pictures": [{"width": 32, "height": 32}]}
    good = row | {"source": "b"}
    settings = DialoguesSettings(
        source=LlavaOneVisionSource(uri="here"), dialogues=Dialogues(min_side=32, max_characters=500)
    )
    output = published(tmp_path, "understanding/dialogues", [row | change, good], settings)
    assert LIMITS.run(output).passed is holds
