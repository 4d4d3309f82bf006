import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import UserError
from infra.storage import list_files
from jobs.recipe.sources import CoyoSource, MegalithSource, ReLaionSource, UrlSource
from jobs.sources.fetched import Link
from jobs.sources.url_lists import links, list_shards

MEGALITH = {
    "url": ["http://f/0.jpg", "http://f/1.jpg", None],
    "url_highres": ["http://f/0_o.jpg", None, None],
    "url_source": ["http://f/photo/0", "http://f/photo/1", "http://f/photo/2"],
}
RELAION = {"url": ["http://a/0", ""], "caption": ["a cat", "a dog"], "punsafe": [0.25, float("nan")]}
COYO = {
    "id": pa.array([4785074604720], pa.int64()),
    "url": ["http://c/0"],
    "text": ["a cup of tea"],
    "width": pa.array([640], pa.int32()),
    "height": pa.array([480], pa.int32()),
    "image_phash": ["f00d"],
    "num_faces": pa.array([0], pa.int32()),
    "clip_similarity_vitb32": [0.3],
    "clip_similarity_vitl14": [0.25],
    "nsfw_score_opennsfw2": [0.01],
    "nsfw_score_gantman": [0.02],
    "watermark_score": [0.5],
    "aesthetic_score_laion_v2": [5.5],
}


def listed(source: UrlSource) -> list[Link]:
    shards = list_shards(source, list_files(source.uri))
    return [link for shard in shards for link in links(source, shard)]


def write(folder: Path, columns: dict[str, Any], name: str = "p.parquet", **options: Any) -> str:
    pq.write_table(pa.table(columns), folder / name, **options)
    return f"{folder}/{name}"


def test_megalith_has_no_captions_and_prefers_the_large_picture(tmp_path: Path) -> None:
    uri = write(tmp_path, MEGALITH)
    first, second, third = listed(MegalithSource(uri=str(tmp_path)))
    assert [(link.source, link.url) for link in (first, second, third)] == [
        (f"{uri}#000000000", "http://f/0_o.jpg"),
        (f"{uri}#000000001", "http://f/1.jpg"),
        (f"{uri}#000000002", None),
    ]
    assert (first.caption, third.reason) == (None, "no_url")
    assert json.loads(str(first.metadata)) == {name: values[0] for name, values in MEGALITH.items()}


def test_relaion_has_captions(tmp_path: Path) -> None:
    write(tmp_path, RELAION)
    first, second = listed(ReLaionSource(uri=str(tmp_path)))
    assert (first.url, first.caption, first.reason) == ("http://a/0", "a cat", None)
    assert json.loads(str(first.metadata)) == {"url": "http://a/0", "punsafe": 0.25}
    assert (second.url, second.caption, second.reason) == (None, "a dog", "no_url")
    assert json.loads(str(second.metadata)) == {"url": ""}


def test_coyos_scores_are_carried_on(tmp_path: Path) -> None:
    write(tmp_path, COYO)
    (link,) = listed(CoyoSource(uri=str(tmp_path)))
    assert (link.url, link.caption) == ("http://c/0", "a cup of tea")
    expected = {
        name: values[0] if isinstance(values, list) else values[0].as_py() for name, values in COYO.items()
    }
    del expected["text"]
    assert json.loads(str(link.metadata)) == expected


@pytest.mark.parametrize("group_rows", [3, 7, 100])
def test_every_row_is_in_one_shard_whatever_the_row_groups(tmp_path: Path, group_rows: int) -> None:
    for number in range(2):
        urls = [f"http://a/{number}/{row}" for row in range(25)]
        write(tmp_path, {"url": urls, "caption": urls}, f"{number}.parquet", row_group_size=group_rows)
    source = ReLaionSource(uri=str(tmp_path), shard_records=10)
    shards = list_shards(source, list_files(str(tmp_path)))
    assert [(shard.start, shard.records) for shard in shards] == [(0, 10), (10, 10), (20, 5)] * 2
    assert [link.url for link in listed(source)] == [
        f"http://a/{n}/{row}" for n in range(2) for row in range(25)
    ]
    assert len({link.source for link in listed(source)}) == 50


def test_captions_that_are_not_utf8(tmp_path: Path) -> None:
    captions = pa.array([b"caf\xe9", "café".encode()], pa.binary()).view(pa.string())
    write(tmp_path, {"url": ["http://a/0", "http://a/1"], "caption": captions, "site": captions})
    first, second = listed(ReLaionSource(uri=str(tmp_path)))
    assert (first.caption, first.caption_problem) == (None, "caption_not_utf8")
    assert (second.caption, second.caption_problem) == ("café", None)
    assert json.loads(str(first.metadata))["site"] == "caf\ufffd"


def test_a_list_of_another_kind_is_an_error_that_names_its_columns(tmp_path: Path) -> None:
    write(tmp_path, MEGALITH)
    with pytest.raises(UserError, match=r"no column 'caption'.*columns: url, url_highres, url_source"):
        listed(ReLaionSource(uri=str(tmp_path)))


def test_rows_lost_to_damage_are_records_as_many_as_were_listed(tmp_path: Path) -> None:
    urls = [f"http://a/{row:04d}" for row in range(2000)]
    path = Path(write(tmp_path, {"url": urls, "caption": urls}, row_group_size=500))
    source = ReLaionSource(uri=str(tmp_path), shard_records=1000)
    shards = list_shards(source, list_files(str(tmp_path)))
    at = pq.ParquetFile(path).metadata.row_group(3).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[at : at + 50] = bytes(50)
    path.write_bytes(data)
    found = [list(links(source, shard)) for shard in shards]
    assert [len(part) for part in found] == [1000, 1000]
    assert {link.reason for link in found[0]} == {None}
    assert [link.reason for link in found[1]] == [None] * 500 + ["not_parquet"] * 500
    assert len({link.source for part in found for link in part}) == 2000


def test_a_file_that_cannot_be_counted_is_one_bad_record(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_bytes(b"PAR1 no more")
    source = ReLaionSource(uri=str(tmp_path))
    (shard,) = list_shards(source, list_files(str(tmp_path)))
    assert shard.records == 1
    assert [link.reason for link in links(source, shard)] == ["not_parquet"]


def test_a_file_without_rows_has_no_shard(tmp_path: Path) -> None:
    write(tmp_path, {"url": pa.array([], pa.string()), "caption": pa.array([], pa.string())})
    assert listed(ReLaionSource(uri=str(tmp_path))) == []
