from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import UserError
from infra.storage import list_files
from jobs.recipe import ParquetSource
from jobs.sources import Record
from jobs.sources.parquet import list_shards, read

LIMIT = 1000


def records(folder: Path, wanted: frozenset[str] | None = None, caption: str = "caption") -> list[Record]:
    source = ParquetSource(uri=str(folder), caption_column=caption)
    (shard,) = list_shards(source, list_files(str(folder)))
    return list(read(source, shard, LIMIT, wanted))


def write(folder: Path, images: pa.Array, captions: pa.Array) -> Path:
    path = folder / "t.parquet"
    pq.write_table(pa.table({"image": images, "caption": captions}), path)
    return path


def test_bytes_column(tmp_path: Path) -> None:
    images = pa.array([b"A", None, b"x" * (LIMIT + 1), b"D"], pa.binary())
    path = write(tmp_path, images, pa.array(["a", "b", "c", None]))
    assert [(r.source, r.image, r.caption, r.reason) for r in records(tmp_path)] == [
        (f"{path}#000000000", b"A", "a", None),
        (f"{path}#000000001", None, None, "no_image"),
        (f"{path}#000000002", None, None, "too_many_bytes"),
        (f"{path}#000000003", b"D", None, None),
    ]


def test_hugging_face_layout(tmp_path: Path) -> None:
    rows = [{"bytes": b"A", "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, None]
    type_ = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    write(tmp_path, pa.array(rows, type_), pa.array(["a", "b", "c"]))
    assert [(r.image, r.reason) for r in records(tmp_path)] == [
        (b"A", None),
        (None, "no_image"),
        (None, "no_image"),
    ]


def test_captions_that_are_not_utf8(tmp_path: Path) -> None:
    write(tmp_path, pa.array([b"A", b"B"]), pa.array([b"caf\xe9", "café".encode()], pa.binary()))
    assert [(r.caption, r.caption_problem) for r in records(tmp_path)] == [
        (None, "caption_not_utf8"),
        ("café", None),
    ]


def test_many_rows_and_wanted_ones(tmp_path: Path) -> None:
    path = write(tmp_path, pa.array([bytes([n]) for n in range(100)]), pa.array([str(n) for n in range(100)]))
    assert [r.image for r in records(tmp_path)] == [bytes([n]) for n in range(100)]
    assert [r.caption for r in records(tmp_path, frozenset({f"{path}#000000077"}))] == ["77"]


def test_a_wrong_column_is_an_error_that_names_the_right_ones(tmp_path: Path) -> None:
    path = write(tmp_path, pa.array([b"A"]), pa.array(["a"]))
    with pytest.raises(UserError, match=rf"^{path}: no column 'text'.*columns: image, caption"):
        records(tmp_path, caption="text")


def test_a_column_of_another_type_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, pa.array(["http://x/a.jpg"]), pa.array(["a"]))
    with pytest.raises(UserError, match="not picture bytes"):
        records(tmp_path)


def test_damage_is_a_record(tmp_path: Path) -> None:
    path = write(tmp_path, pa.array([b"A" * 100]), pa.array(["a"]))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert [r.reason for r in records(tmp_path)] == ["not_parquet"]
    path.write_bytes(b"")
    assert [r.reason for r in records(tmp_path)] == ["not_parquet"]
