import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import UserError
from infra.storage import list_files
from jobs.recipe.sources import CommonCatalogSource
from jobs.sources import Record
from jobs.sources.common_catalog import list_shards, read

LIMIT = 1000
COLUMNS = {
    "jpg": pa.array([b"A", None, b"x" * (LIMIT + 1), b"D"], pa.binary()),
    "blip2_caption": ["a boat", "a cat", "a dog", None],
    "key": ["0", "1", "2", "3"],
    "photoid": pa.array([11, 12, 13, 14], pa.int64()),
    "licensename": ["Attribution License"] * 4,
    "licenseurl": ["http://creativecommons.org/licenses/by/2.0/"] * 4,
    "unickname": ["anna", "bo", "cy", None],
    "pageurl": ["http://f/11", "http://f/12", "http://f/13", "http://f/14"],
}


def records(folder: Path, wanted: frozenset[str] | None = None) -> list[Record]:
    source = CommonCatalogSource(uri=str(folder))
    shards = list_shards(source, list_files(str(folder)))
    return [record for shard in shards for record in read(source, shard, LIMIT, wanted)]


def test_pictures_captions_and_licences(tmp_path: Path) -> None:
    pq.write_table(pa.table(COLUMNS), tmp_path / "p.parquet")
    found = records(tmp_path)
    assert [(r.image, r.caption, r.reason) for r in found] == [
        (b"A", "a boat", None),
        (None, "a cat", "no_image"),
        (None, "a dog", "too_many_bytes"),
        (b"D", None, None),
    ]
    assert json.loads(str(found[0].metadata)) == {
        "key": "0",
        "photoid": 11,
        "licensename": "Attribution License",
        "licenseurl": "http://creativecommons.org/licenses/by/2.0/",
        "unickname": "anna",
        "pageurl": "http://f/11",
    }
    assert json.loads(str(found[2].metadata))["photoid"] == 13, "bad records keep what is known of them"
    wanted = frozenset({f"{tmp_path}/p.parquet#000000003"})
    assert [r.image for r in records(tmp_path, wanted)] == [b"D"]


def test_the_listing_counts_the_records(tmp_path: Path) -> None:
    pq.write_table(pa.table(COLUMNS), tmp_path / "p.parquet")
    (shard,) = list_shards(CommonCatalogSource(uri=str(tmp_path)), list_files(str(tmp_path)))
    assert shard.records == 4


def test_damage_takes_no_record_away(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pictures = pa.array([bytes([n]) for n in range(100)], pa.binary())
    table = pa.table({"jpg": pictures, "blip2_caption": [str(n) for n in range(100)]})
    pq.write_table(table, path, row_group_size=10)
    source = CommonCatalogSource(uri=str(tmp_path))
    (shard,) = list_shards(source, list_files(str(tmp_path)))
    at = pq.ParquetFile(path).metadata.row_group(5).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[at : at + 20] = bytes(20)
    path.write_bytes(data)
    found = list(read(source, shard, LIMIT, None))
    assert len(found) == len({r.source for r in found}) == 100
    assert [r.reason for r in found] == [None] * 50 + ["not_parquet"] * 10 + [None] * 40
    path.write_bytes(b"PAR1")
    assert [r.reason for r in records(tmp_path)] == ["not_parquet"]


def test_a_file_of_another_kind_is_an_error_that_names_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"A"], "caption": ["a"]}), tmp_path / "p.parquet")
    with pytest.raises(UserError, match=r"no column 'jpg'.*columns: image, caption"):
        records(tmp_path)
