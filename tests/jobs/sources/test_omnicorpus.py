import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import UserError
from infra.storage import list_files
from jobs.recipe.sources import OmniCorpusSource
from jobs.sources.fetched import Link
from jobs.sources.omnicorpus import links, list_shards

ABOUT = {"aesthetic_prob": 0.75, "unsafe_prob": 0.0, "width": 640, "height": 480, "d_hash": "ab"}
PAGES: list[dict[str, Any]] = [
    {
        "general_metadata": {"url": "http://site/page", "domain": ["site"], "fluency_prob": 0.5},
        "images": [None, "http://i/0.jpg", "http://i/1.jpg", None],
        "texts": ["Two boats.", None, None, "The end."],
        "metadata": [None, ABOUT, None, None],
    },
    {"general_metadata": None, "images": [None], "texts": ["No pictures."], "metadata": [None]},
    {"general_metadata": None, "images": None, "texts": None, "metadata": None},
    {"general_metadata": None, "images": ["http://i/2.jpg"], "texts": [None], "metadata": None},
]


def listed(folder: Path, shard_records: int = 2) -> list[Link]:
    source = OmniCorpusSource(uri=str(folder), shard_records=shard_records)
    shards = list_shards(source, list_files(str(folder)))
    return [link for shard in shards for link in links(source, shard)]


@pytest.mark.parametrize("shard_records", [1, 3, 100])
def test_every_url_is_a_record_and_its_page_the_group(tmp_path: Path, shard_records: int) -> None:
    pq.write_table(pa.Table.from_pylist(PAGES), tmp_path / "p.parquet")
    page = f"{tmp_path}/p.parquet#000000000"
    found = listed(tmp_path, shard_records)
    assert [(link.source, link.url, link.group) for link in found] == [
        (f"{page}/0001", "http://i/0.jpg", page),
        (f"{page}/0002", "http://i/1.jpg", page),
        (f"{tmp_path}/p.parquet#000000003/0000", "http://i/2.jpg", f"{tmp_path}/p.parquet#000000003"),
    ]
    assert [link.caption for link in found] == ["Two boats.", "The end.", None]


def test_what_is_known_of_page_and_picture_is_carried_on(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(PAGES), tmp_path / "p.parquet")
    first, second, _ = (json.loads(str(link.metadata)) for link in listed(tmp_path))
    assert first == {"url": "http://i/0.jpg", "page": PAGES[0]["general_metadata"], "picture": ABOUT}
    assert "picture" not in second


def test_how_many_pictures_there_are_is_not_known_before_they_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(PAGES), tmp_path / "p.parquet")
    shards = list_shards(OmniCorpusSource(uri=str(tmp_path), shard_records=3), list_files(str(tmp_path)))
    assert [(shard.start, shard.records) for shard in shards] == [(0, 0), (3, 0)]


def test_damage_is_a_record_and_a_list_of_another_kind_an_error(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    path.write_bytes(b"PAR1")
    assert [link.reason for link in listed(tmp_path)] == ["not_parquet"]
    pq.write_table(pa.table({"url": ["http://a"]}), path)
    with pytest.raises(UserError, match="no column 'images'"):
        listed(tmp_path)


def test_one_url_that_is_not_utf8_takes_no_other_away(tmp_path: Path) -> None:
    urls = pa.array([b"http://i/0.jpg", b"http://i/\xe9.jpg", b"http://i/2.jpg"], pa.binary()).view(
        pa.string()
    )
    images = pa.ListArray.from_arrays([0, 3], urls)
    pq.write_table(pa.table({"images": images, "texts": [[None, None, None]]}), tmp_path / "p.parquet")
    assert [link.url for link in listed(tmp_path)] == [
        "http://i/0.jpg",
        "http://i/\ufffd.jpg",
        "http://i/2.jpg",
    ]


@pytest.mark.parametrize("column", ["images", "texts"])
def test_a_column_that_holds_no_lists_is_an_error(tmp_path: Path, column: str) -> None:
    columns = {"images": [["http://i/0.jpg"]], "texts": [["a"]]} | {column: ["http://i/0.jpg"]}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    with pytest.raises(UserError, match=f"column '{column}' holds string, not lists"):
        listed(tmp_path)
