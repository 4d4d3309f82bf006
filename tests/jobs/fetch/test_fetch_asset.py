"""The stage in the graph: only where a source lists URLs, named by what decides, held by its checks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from pydantic import ValidationError

from assets.checks import Check, Published
from assets.checks.fetch import AS_LISTED, ENOUGH, WITHIN_LIMITS
from assets.curation import fetch
from assets.graph import job_assets
from assets.plan import materialize_stale
from assets.project import Project
from infra.manifest import Manifest, Output, read_table
from infra.settings import prepare_dagster_home
from jobs.curate.stage import count_rows
from jobs.fetch.ledger import LEDGER_SCHEMA
from jobs.recipe import FolderSource, Level, Model, Recipe, Source, Sources, Tokenizer, TokenizerStage
from jobs.recipe.sources import Fetch, Mix, OmniCorpusSource, ReLaionSource, without_fetch
from jobs.sources.fetched import Link, picture_members, pictures_tar
from jobs.specs.fetch import FetchSettings

URLS = ReLaionSource(uri="/lists")
FILES = FolderSource(uri="/files")


def recipe(t2i: Source, subject: Source | None = None) -> Recipe:
    stage = TokenizerStage(steps=1)
    return Recipe(
        name="test",
        sources=Sources(t2i=t2i, subject=subject),
        levels={"l": Level(schedule=[1])},
        tokenizer=Tokenizer(preset="tiny", level="l", pixel=stage, joint=stage, decoder=stage),
        model=Model(preset="tiny"),
        stages={},
    )


def paced(**settings: Any) -> ReLaionSource:
    return ReLaionSource(uri="/lists", fetch=Fetch(**settings))


# The graph -----------------------------------------------------------------------------------


def test_only_a_source_of_urls_is_fetched() -> None:
    assert fetch.assets(recipe(FILES, FILES)) == []
    both = recipe(Mix(parts={"urls": URLS, "files": FILES}), OmniCorpusSource(uri="/pages"))
    assert [asset.key for asset in fetch.assets(both)] == ["t2i/fetched", "subject/fetched"]
    assert [asset.key for asset in job_assets(both)[:2]] == ["t2i/fetched", "subject/fetched"]


def test_records_are_in_what_was_fetched_or_in_the_raw_data() -> None:
    given = recipe(URLS, FILES)
    assert fetch.records_asset(given, "t2i") == "t2i/fetched"
    assert fetch.records_asset(given, "subject") == "raw/subject"
    inputs = {asset.key: asset.inputs for asset in job_assets(given)}
    assert inputs["t2i/scored"] == ("t2i/fetched",)
    assert inputs["subject/scored"] == ("raw/subject",)
    assert fetch.records_asset(recipe(FILES), "subject") == "raw/subject"


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: Mix(parts={"urls": one, "files": FILES})])
def test_settings_of_pace_make_nothing_else(wrap: Callable[[Any], Any]) -> None:
    def name(**settings: Any) -> str:
        given = recipe(wrap(paced(**settings)))
        (asset,) = fetch.assets(given)
        return asset.fingerprint(given, None, {})

    same = {"connections": 1, "per_host": 1, "contact": "me", "max_errored": 0.1}
    assert name(**same) == name()
    other = [{"round": 1}, {"timeout": 1}, {"attempts": 1}, {"max_bytes": 1}, {"respect_noai": False}]
    assert len({name(**settings) for settings in other} | {name()}) == len(other) + 1


def test_later_stages_do_not_know_how_pictures_were_fetched() -> None:
    assert without_fetch(paced(round=3)) == URLS
    mix: Mix[Any] = Mix(parts={"urls": paced(round=3), "files": FILES})
    assert without_fetch(mix) == Mix(parts={"urls": URLS, "files": FILES})
    assert without_fetch(FILES) == FILES


def test_a_contact_cannot_smuggle_headers_in() -> None:
    with pytest.raises(ValidationError, match="contact"):
        Fetch(contact="me\r\nX-Evil: 1")


def test_a_drop_is_fetched_checked_and_read_on_through_dagster(
    ray_session: None,
    server: Any,
    limits: Callable[..., Fetch],
    write_list: Callable[..., Path],
    tmp_path: Path,
) -> None:
    paths = ["/picture/0", "/status/404", "/picture/1"]
    folder = write_list(url=[server.url(path) for path in paths], caption=["a", "b", "c"])
    given = recipe(ReLaionSource(uri=str(folder), fetch=limits()))
    home = str(tmp_path / "home")
    with dg.DagsterInstance.from_config(prepare_dagster_home(home)) as instance:
        (made, scored) = materialize_stale(Project(given, home), instance, "t2i/fetched,t2i/scored")
        again = materialize_stale(Project(given, home), instance, "t2i/fetched,t2i/scored")
        assert [stage.reused for stage in again] == [True, True]
    assert (made.counts.total, made.counts.kept, made.counts.rejected) == (3, 2, {"gone": 1})
    assert (scored.asset, scored.counts.total, scored.counts.kept) == ("t2i/scored", 2, 2)
    refused = read_table(f"{scored.folder}/data/earlier.parquet").to_pylist()
    assert len(refused) == made.counts.total - made.counts.kept > 0
    assert {row["stage"] for row in refused} == {"fetched"}, (
        "what did not come is in the catalogues that follow"
    )
    assert (tmp_path / "home" / "cache" / "fetch").is_dir()


# The checks ----------------------------------------------------------------------------------

Row = dict[str, Any]
Change = Callable[[list[Row]], object]


def rows() -> list[Row]:
    """Two pictures that came, one that was refused and one that may come later."""
    common = {"url": "http://x", "part": "", "http_status": 200}
    kept = [
        common
        | {"sample_id": n, "source": f"l#{n}", "status": "kept", "bytes": 3, "tar": "data/0-000.tar"}
        | {"sha256": hashlib.sha256(b"PI%d" % n).hexdigest(), "member": f"{n:09d}.jpg"}
        for n in range(2)
    ]
    rejected = {"sample_id": 2, "source": "l#2", "status": "rejected", "reason": "gone", "http_status": 404}
    errored = {"sample_id": 3, "source": "l#3", "status": "errored", "reason": "timeout", "http_status": None}
    return [*kept, common | rejected, common | errored]


def published(folder: Path, ledger: list[Row], pictures: list[bytes], limits: Fetch) -> Published:
    members = {}
    for number, data in enumerate(pictures):
        members |= picture_members(f"{number:09d}", "jpg", Link(f"l#{number}"), data)
    table = pa.Table.from_pylist(ledger, schema=LEDGER_SCHEMA)
    output = Output(str(folder))
    files = (
        output.publish_table("data/catalogue.parquet", table),
        output.publish("data/0-000.tar", pictures_tar(members)),
    )
    manifest = Manifest(
        asset="t2i/fetched", partition=None, fingerprint="f", files=files, counts=count_rows(table)
    )
    settings = FetchSettings(source=URLS.model_copy(update={"fetch": limits}))
    return Published(str(folder), manifest, {}, settings)


PICTURES = [b"PI0", b"PI1"]
FAIR = Fetch(max_bytes=3, max_errored=0.25)


@pytest.mark.parametrize("check", [AS_LISTED, WITHIN_LIMITS, ENOUGH])
def test_a_right_drop_passes(tmp_path: Path, check: Check) -> None:
    assert check.run(published(tmp_path, rows(), PICTURES, FAIR)).passed


@pytest.mark.parametrize(
    ("check", "change", "pictures", "limits"),
    [
        (AS_LISTED, lambda rows: None, [b"PI0"], FAIR),
        (AS_LISTED, lambda rows: None, [*PICTURES, b"PI2"], FAIR),
        (AS_LISTED, lambda rows: None, [b"PI0", b"PI?"], FAIR),
        (AS_LISTED, lambda rows: rows[1].update(bytes=4), PICTURES, FAIR),
        (AS_LISTED, lambda rows: rows[1].update(tar="data/0-001.tar"), PICTURES, FAIR),
        (AS_LISTED, lambda rows: rows[1].update(status="rejected", reason="gone"), PICTURES, FAIR),
        (WITHIN_LIMITS, lambda rows: None, PICTURES, Fetch(max_bytes=2)),
        (WITHIN_LIMITS, lambda rows: rows[0].update(http_status=206), PICTURES, FAIR),
        (WITHIN_LIMITS, lambda rows: rows[0].update(bytes=0), PICTURES, FAIR),
        (ENOUGH, lambda rows: rows[2].update(status="errored"), PICTURES, FAIR),
        (ENOUGH, lambda rows: None, PICTURES, Fetch(max_errored=0.2)),
    ],
)
def test_a_wrong_drop_fails(
    tmp_path: Path, check: Check, change: Change, pictures: list[bytes], limits: Fetch
) -> None:
    ledger = rows()
    change(ledger)
    verdict = check.run(published(tmp_path, ledger, pictures, limits))
    assert not verdict.passed
    assert verdict.why
    assert "\n" not in verdict.why
