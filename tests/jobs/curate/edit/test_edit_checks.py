"""Every blocking check of edits holds for a right output and fails for a wrong one."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from curate.edit.conftest import ANY_SHARE_OF_BAD, DRAWN, stages

from assets.checks import Check, Published
from assets.checks.curation import DECODABLE, DOCUMENTS
from assets.checks.edit import FORM, JUDGED, MATCHED, NO_BAD, SUBSETS, TASK_SHARES
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from infra.manifest import read_manifest, read_table, table_bytes
from jobs.recipe.curation.edit import EditFilters
from jobs.specs.edit import EditMatchSettings, EditMixSettings, EditSubsetSettings

Folders = dict[str, str]
Rows = list[dict[str, Any]]

OF_STAGE: dict[str, tuple[Check, ...]] = {
    "scored": (),
    "size_matched": (UNIQUE_IDS, MATCHED),
    "judged": (UNIQUE_IDS, JUDGED),
    "subsets": (SUBSETS,),
    "audited": (UNIQUE_IDS, NO_BAD, FORM, DECODABLE, DOCUMENTS),
    "mixed": (UNIQUE_IDS, TASK_SHARES, FORM, DECODABLE, DOCUMENTS),
}


def published(folders: Folders, stage: str, folder: str | None = None, settings: Any = None) -> Published:
    """An output as its checks see it."""
    _, inputs, own = stages(DRAWN, ANY_SHARE_OF_BAD)[stage]
    place = folder or folders[stage]
    known = {f"edit/{name}": [folders[name]] for name in inputs if name != "raw"}
    records = tuple(known)[:1]
    return Published(place, read_manifest(place), known, settings or own, records)


def tampered(
    folders: Folders, stage: str, tmp_path: Path, change: Callable[[Rows], Rows | None], settings: Any = None
) -> Published:
    """A copy of an output whose catalogue somebody has changed."""
    shutil.copytree(folders[stage], tmp_path / stage)
    path = tmp_path / stage / "data" / "catalogue.parquet"
    table = read_table(str(path))
    rows = table.to_pylist()
    rows = change(rows) or rows
    path.write_bytes(table_bytes(pa.Table.from_pylist(rows, schema=table.schema)))
    return published(folders, stage, str(tmp_path / stage), settings)


def first_kept(rows: Rows, **values: Any) -> None:
    """Change the first row that is kept."""
    next(row for row in rows if row["status"] == "kept").update(values)


@pytest.mark.parametrize("stage", OF_STAGE)
def test_checks_hold_for_what_the_jobs_publish(drawn: tuple[Path, Folders], stage: str) -> None:
    output = published(drawn[1], stage)
    records = () if stage == "subsets" else (CONSERVATION, UNIQUE_SOURCES)
    for check in (*records, *OF_STAGE[stage]):
        verdict = check.run(output)
        assert verdict.passed, (check.name, verdict.why)
        assert "\n" not in verdict.why


@pytest.mark.parametrize(
    "values",
    [
        {"width": [64, 96]},
        {"width": [60, 60]},
        {"height": [32, 64]},
        {"instruction": ""},
        {"changed": 0.0},
    ],
)
def test_a_kept_edit_against_a_threshold_is_found(
    drawn: tuple[Path, Folders], tmp_path: Path, values: dict[str, Any]
) -> None:
    wrong = tampered(drawn[1], "size_matched", tmp_path, lambda rows: first_kept(rows, **values))
    assert not MATCHED.run(wrong).passed


def test_thresholds_of_another_recipe_do_not_hold(drawn: tuple[Path, Folders]) -> None:
    settings = EditMatchSettings(filters=EditFilters(min_side=65))
    assert not MATCHED.run(published(drawn[1], "size_matched", settings=settings)).passed


@pytest.mark.parametrize("values", [{"score": 11}, {"verdict": ""}, {"follows": None}, {"task": "sing"}])
def test_an_edit_without_a_verdict_is_found(
    drawn: tuple[Path, Folders], tmp_path: Path, values: dict[str, Any]
) -> None:
    wrong = tampered(drawn[1], "judged", tmp_path, lambda rows: first_kept(rows, **values))
    assert not JUDGED.run(wrong).passed


def test_a_bad_subset_that_stays_is_found(drawn: tuple[Path, Folders]) -> None:
    """Where any share may be bad all subsets stay: that is wrong for another recipe."""
    settings = EditSubsetSettings(min_score=7, max_changed=0.9, max_bad=0.05, min_judged=20)
    verdict = SUBSETS.run(published(drawn[1], "subsets", settings=settings))
    assert not verdict.passed
    assert "bad edits stays" in verdict.why


LOCAL_WITHOUT_TRUTH = {"task": "add", "judge": "measured"}


@pytest.mark.parametrize(
    "values", [{"score": 6}, {"follows": False}, {"changed": 0.91, **LOCAL_WITHOUT_TRUTH}]
)
def test_a_bad_edit_that_was_kept_is_found(
    drawn: tuple[Path, Folders], tmp_path: Path, values: dict[str, Any]
) -> None:
    wrong = tampered(drawn[1], "audited", tmp_path, lambda rows: first_kept(rows, **values))
    assert not NO_BAD.run(wrong).passed


def test_an_edit_of_a_dropped_subset_that_was_kept_is_found(
    drawn: tuple[Path, Folders], tmp_path: Path
) -> None:
    shutil.copytree(drawn[1]["subsets"], tmp_path / "subsets")
    dropped = pa.table({"subset": ["clean-local"]})
    (tmp_path / "subsets" / "data" / "dropped.parquet").write_bytes(table_bytes(dropped))
    output = published(drawn[1] | {"subsets": str(tmp_path / "subsets")}, "audited")
    assert not NO_BAD.run(output).passed


def swap_members(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A tar whose first document is changed."""
    buffer, done = io.BytesIO(), False
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            content = old.extractfile(member)
            body = content.read() if content else b""
            if member.name.endswith(".json") and not done:
                document = json.loads(body)
                change(document)
                body, done = json.dumps(document).encode(), True
            member.size = len(body)
            new.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(family="t2i"),
        lambda document: document["segments"].reverse(),
        lambda document: document["segments"][0].update(loss=True),
        lambda document: document["segments"][1].update(text=" "),
        lambda document: document["segments"][-1].update(loss=False),
        lambda document: document["segments"].pop(0),
        lambda document: document.update(segments=document["segments"][:1]),
        lambda document: document["segments"].clear(),
        lambda document: document["metadata"].update(task=None),
    ],
)
def test_a_document_of_another_form_is_found(
    drawn: tuple[Path, Folders], tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    shutil.copytree(drawn[1]["audited"], tmp_path / "audited")
    path = next((tmp_path / "audited" / "data").glob("*.tar"))
    path.write_bytes(swap_members(path.read_bytes(), change))
    assert not FORM.run(published(drawn[1], "audited", str(tmp_path / "audited"))).passed


def test_a_document_that_is_not_published_is_found(drawn: tuple[Path, Folders], tmp_path: Path) -> None:
    def forget(rows: Rows) -> None:
        first_kept(rows, status="rejected", reason="over_quota")

    wrong = tampered(drawn[1], "mixed", tmp_path, forget)
    assert not DOCUMENTS.run(wrong).passed
    assert not CONSERVATION.run(wrong).passed


def test_shares_that_are_not_the_targets_are_found(drawn: tuple[Path, Folders], tmp_path: Path) -> None:
    folders = drawn[1]
    target = stages(DRAWN, ANY_SHARE_OF_BAD)["mixed"][2].target
    for settings in (
        EditMixSettings(target=target | {"remove": 3.0}, met=0.5),
        EditMixSettings(target={task: w for task, w in target.items() if task != "add"}, met=0.5),
    ):
        assert not TASK_SHARES.run(published(folders, "mixed", settings=settings)).passed

    def hoard(rows: Rows) -> None:
        for row in rows:
            if row["task"] == "replace":
                row.update(status="kept", reason=None)

    assert not TASK_SHARES.run(tampered(folders, "mixed", tmp_path, hoard)).passed


def test_another_share_of_the_target_to_meet_is_found(drawn: tuple[Path, Folders]) -> None:
    target = stages(DRAWN, ANY_SHARE_OF_BAD)["mixed"][2].target
    for met, holds in ((0.5, True), (1.0, False), (0.0, False)):
        settings = EditMixSettings(target=target, met=met)
        assert TASK_SHARES.run(published(drawn[1], "mixed", settings=settings)).passed is holds


def test_a_mix_that_is_smaller_than_it_could_be_is_found(drawn: tuple[Path, Folders], tmp_path: Path) -> None:
    def waste(rows: Rows) -> None:
        for row in rows:
            row.update(status="rejected", reason="over_quota")

    assert not TASK_SHARES.run(tampered(drawn[1], "mixed", tmp_path, waste)).passed
