"""The job: every URL in the ledger, pictures in tars, the same bytes however it went."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from PIL import Image

from infra import storage
from infra.errors import UserError
from infra.manifest import read_manifest, read_table
from jobs.curate.stage import read_catalogue
from jobs.recipe.sources import (
    CoyoSource,
    Fetch,
    FolderSource,
    MegalithSource,
    Mix,
    OmniCorpusSource,
    ReLaionSource,
    Source,
    WebDatasetSource,
)
from jobs.sources import Record
from jobs.sources.discover import list_shards
from jobs.sources.read import read_pictures
from jobs.sources.shards import read_shards

RunFetch = Callable[..., str]
MakeLimits = Callable[..., Fetch]
WriteList = Callable[..., Path]

PATHS = [
    "/picture/0",
    "/status/404",
    "/picture/1",
    "/hiccup",
    "/noai",
    "/large",
    "/picture/2",
    "/html",
    "/moved",
    "/picture/0",
    "ftp://example.com/a.jpg",
]
REASONS = [
    None,
    "gone",
    None,
    None,
    "noai",
    "too_many_bytes",
    None,
    "not_a_picture",
    None,
    None,
    "bad_scheme",
]


def urls(server: Any, paths: list[str]) -> list[str]:
    return [server.url(path) if path.startswith("/") else path for path in paths]


def read(source: Source, folder: str, max_bytes: int = 1 << 20) -> list[Record]:
    """The pictures of a fetched drop, as later stages read them."""
    return [r for shard in read_shards(folder) for r in read_pictures(source, shard, max_bytes)]


def outcomes(folder: str) -> list[tuple[str, str | None]]:
    catalogue = read_catalogue(folder)
    return list(zip(catalogue["status"].to_pylist(), catalogue["reason"].to_pylist(), strict=True))


@pytest.fixture
def source(server: Any, limits: MakeLimits, write_list: WriteList) -> CoyoSource:
    """URLs of every sort, in shards of four."""
    captions = [f"caption {n}" for n in range(len(PATHS))]
    scores = [n / 8 for n in range(len(PATHS))]
    folder = write_list(url=urls(server, PATHS), text=captions, watermark_score=scores)
    return CoyoSource(uri=str(folder), fetch=limits(), shard_records=4)


def test_every_url_is_in_the_ledger_and_what_came_in_the_tars(
    source: CoyoSource, fetch: RunFetch, make_picture: Callable[..., bytes], server: Any
) -> None:
    folder = fetch(source)
    catalogue = read_catalogue(folder)
    assert [row["reason"] for row in catalogue.to_pylist()] == REASONS
    counts = read_manifest(folder).counts
    assert (counts.total, counts.kept, counts.errored) == (11, 6, 0)
    assert counts.rejected == {name: 1 for name in REASONS if name}
    assert catalogue["url"].to_pylist() == urls(server, PATHS)
    assert catalogue["attempts"].to_pylist() == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]
    records = read(source, folder)
    kept = catalogue.filter(pc.equal(catalogue["status"], "kept"))
    assert [record.source for record in records] == kept["source"].to_pylist()
    assert [record.image for record in records] == [make_picture(n) for n in (0, 1, 0, 2, 1, 0)]
    assert [record.caption for record in records] == [f"caption {n}" for n in (0, 2, 3, 6, 8, 9)]
    assert [record.metadata for record in records] == kept["metadata"].to_pylist()
    assert json.loads(str(records[1].metadata)) == {"url": server.url("/picture/1"), "watermark_score": 0.25}


def test_only_what_is_wanted_and_not_too_large_is_read(source: CoyoSource, fetch: RunFetch) -> None:
    folder = fetch(source)
    first, *_ = read_shards(folder)
    second = read(source, folder)[1]
    (found,) = read_pictures(source, first, 1 << 20, frozenset({second.source}))
    assert found == second
    assert {(r.image, r.reason) for r in read(source, folder, 10)} == {(None, "too_many_bytes")}


def test_the_tars_are_webdataset_for_others_too(
    source: CoyoSource, fetch: RunFetch, tmp_path: Path, make_picture: Callable[..., bytes]
) -> None:
    folder = fetch(source)
    others = WebDatasetSource(uri=str(Path(folder) / "data"))
    found = [r for shard in list_shards("t2i", others) for r in read_pictures(others, shard, 1 << 20)]
    assert [record.image for record in found] == [make_picture(n) for n in (0, 1, 0, 2, 1, 0)]
    assert [record.caption for record in found] == [f"caption {n}" for n in (0, 2, 3, 6, 8, 9)]


def test_the_same_bytes_whatever_the_workers_and_connections(
    source: CoyoSource, server: Any, limits: MakeLimits, fetch: RunFetch, read_all: Callable[..., Any]
) -> None:
    found = []
    for workers, connections in ((1, 1), (2, 8)):
        server.requests.clear()
        paced = source.model_copy(update={"fetch": limits(connections=connections, per_host=connections)})
        folder = fetch(paced, workers=workers, cache=False)
        found.append(read_all(folder))
        shutil.rmtree(folder)
    assert found[0] == found[1]
    assert sum(name.endswith(".tar") for name in found[0]) == 3


def test_a_run_after_a_kill_asks_only_for_shards_without_a_receipt(
    source: CoyoSource, server: Any, fetch: RunFetch, read_all: Callable[..., Any]
) -> None:
    folder = fetch(source)
    whole = read_all(folder)
    server.requests.clear()
    storage.remove(f"{folder}/manifest.parquet")
    fetch(source)
    assert not server.requests
    # Killed within the second shard: neither its receipt nor its pointer was written.
    storage.remove(f"{folder}/manifest.parquet")
    storage.remove(f"{folder}/units/000001.json")
    for pointer in storage.list_files(f"{folder}/../cache"):
        if b'"000001"' in storage.read_bytes(pointer.uri):
            storage.remove(pointer.uri)
    fetch(source)
    assert sorted(server.requests) == sorted({"/noai", "/large", "/picture/2", "/html"})
    assert read_all(folder) == whole
    # Killed between its last file and its receipt.
    server.requests.clear()
    storage.remove(f"{folder}/units/000001.json")
    fetch(source)
    assert not server.requests
    assert read_all(folder) == whole


def test_a_later_round_asks_only_for_what_could_not_be_had(
    source: CoyoSource, server: Any, limits: MakeLimits, fetch: RunFetch, read_all: Callable[..., Any]
) -> None:
    server.down = {"/picture/1", "/hiccup", "/moved"}
    first = fetch(source, "round-0")
    expected = Counter(outcomes(first))
    assert expected["errored", "server_error"] == 3
    asked = dict(server.requests)
    server.down = set()
    second = fetch(source.model_copy(update={"fetch": limits(round=1)}), "round-1")
    new = {path: n - asked.get(path, 0) for path, n in server.requests.items() if n != asked.get(path, 0)}
    # The redirect leads to a picture that was asked for on its own, too.
    assert new == {"/picture/1": 2, "/hiccup": 1, "/moved": 1}
    assert [reason for _, reason in outcomes(second)] == REASONS
    assert read_catalogue(second)["attempts"].to_pylist() == [1, 1, 3, 3, 1, 1, 1, 1, 3, 1, 1]
    whole = read_all(fetch(source, "whole", cache=False))
    tars = {name: data for name, data in read_all(second).items() if name.endswith(".tar")}
    assert tars == {name: data for name, data in whole.items() if name.endswith(".tar")}
    server.requests.clear()
    fetch(source.model_copy(update={"fetch": limits(round=2, timeout=0.9, attempts=1)}), "round-2")
    assert not server.requests, "nothing was left to ask for"


def test_what_decides_about_a_picture_makes_all_be_asked_again(
    source: CoyoSource, server: Any, limits: MakeLimits, fetch: RunFetch
) -> None:
    fetch(source, "before")
    server.requests.clear()
    changed = fetch(source.model_copy(update={"fetch": limits(respect_noai=False)}), "after")
    assert server.requests["/picture/2"] == 1
    assert ("rejected", "noai") not in outcomes(changed)


def test_more_files_leave_what_was_fetched_alone(
    server: Any, limits: MakeLimits, write_list: WriteList, fetch: RunFetch
) -> None:
    folder = write_list(url=urls(server, ["/picture/0", "/picture/1"]), caption=["a", "b"])
    source = ReLaionSource(uri=str(folder), fetch=limits())
    fetch(source, "before")
    write_list("a-file-before-it.parquet", url=urls(server, ["/picture/7"]), caption=["c"])
    after = fetch(source, "after")
    assert [record.caption for record in read(source, after)] == ["c", "a", "b"]
    assert server.requests == {"/picture/0": 1, "/picture/1": 1, "/picture/7": 1}


def test_of_a_mix_the_parts_that_are_no_urls_are_passed_on(
    server: Any,
    limits: MakeLimits,
    write_list: WriteList,
    fetch: RunFetch,
    tmp_path: Path,
    make_picture: Callable[..., bytes],
) -> None:
    (tmp_path / "folder").mkdir()
    for number in range(3):
        (tmp_path / "folder" / f"{number}.jpg").write_bytes(make_picture(10 + number))
        (tmp_path / "folder" / f"{number}.txt").write_text(f"file {number}")
    lists = write_list(url=urls(server, ["/picture/0", "/status/404"]), url_highres=[None, None])
    source: Mix[Any] = Mix(
        parts={
            "files": FolderSource(uri=str(tmp_path / "folder"), shard_records=2),
            "links": MegalithSource(uri=str(lists), fetch=limits()),
        }
    )
    folder = fetch(source)
    catalogue = read_catalogue(folder)
    assert catalogue["part"].to_pylist() == ["files"] * 3 + ["links"] * 2
    assert catalogue["status"].to_pylist() == ["kept"] * 4 + ["rejected"]
    assert catalogue["url"].null_count == 3
    records = read(source, folder)
    assert [record.image for record in records] == [make_picture(n) for n in (10, 11, 12, 0)]
    assert [record.source for record in records] == catalogue["source"].to_pylist()[:4]
    assert sum(shard.records for shard in read_shards(folder)) == read_manifest(folder).counts.kept


def test_pictures_of_a_page_stay_a_group(
    server: Any, limits: MakeLimits, write_list: WriteList, fetch: RunFetch
) -> None:
    first, second, third = urls(server, ["/picture/0", "/picture/1", "/status/404"])
    folder = write_list(
        images=[[first, None, second], [third]],
        texts=[[None, "Two boats.", None], [None]],
        metadata=[[{"aesthetic_prob": 0.5}, None, None], [None]],
    )
    source = OmniCorpusSource(uri=str(folder), fetch=limits())
    out = fetch(source, family="subject")
    records = read(source, out)
    page = f"{folder}/part-0.parquet#000000000"
    assert [(r.source, r.group, r.caption) for r in records] == [
        (f"{page}/0000", page, "Two boats."),
        (f"{page}/0002", page, "Two boats."),
    ]
    assert json.loads(str(records[0].metadata))["picture"] == {"aesthetic_prob": 0.5}
    assert [reason for _, reason in outcomes(out)] == [None, None, "gone"]


def test_a_drop_of_which_nothing_came_is_finished_and_empty(
    server: Any, limits: MakeLimits, write_list: WriteList, fetch: RunFetch
) -> None:
    folder = write_list(url=urls(server, ["/status/404", "/reset"]), caption=["a", "b"])
    source = ReLaionSource(uri=str(folder), fetch=limits())
    out = fetch(source)
    assert outcomes(out) == [("rejected", "gone"), ("errored", "connection")]
    assert read_manifest(out).counts.errored == 1
    (shard,) = read_shards(out)
    assert list(read_pictures(source, shard, 1 << 20)) == []


def test_a_list_of_another_kind_is_one_clear_line(
    server: Any, limits: MakeLimits, write_list: WriteList, fetch: RunFetch
) -> None:
    folder = write_list(url=[server.url("/picture/0")], caption=["a"])
    with pytest.raises(UserError, match="no column 'text'"):
        fetch(CoyoSource(uri=str(folder), fetch=limits()))


def test_people_see_what_became_of_the_urls_and_some_of_the_pictures(
    source: CoyoSource, fetch: RunFetch
) -> None:
    folder = fetch(source)
    for name in ("outcomes", "fetched"):
        with Image.open(Path(folder) / "pictures" / f"{name}.png") as picture:
            assert picture.width > 100


def test_the_ledger_of_each_shard_stands_beside_its_tars(source: CoyoSource, fetch: RunFetch) -> None:
    folder = fetch(source)
    ledger = read_table(f"{folder}/data/000000.ledger.parquet").to_pylist()
    assert [(row["tar"], row["member"]) for row in ledger] == [
        ("data/000000-000.tar", "000000000.jpg"),
        (None, None),
        ("data/000000-000.tar", "000000001.jpg"),
        ("data/000000-000.tar", "000000002.jpg"),
    ]
