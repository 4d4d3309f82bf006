import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.storage import list_files
from jobs.recipe.sources import JsonlSource
from jobs.sources import Record
from jobs.sources.jsonl import list_shards, read

LIMIT = 1000


def compressed(data: bytes, codec: str) -> bytes:
    """Data in two frames, as tools that append write it."""
    half = len(data) // 2
    parts = []
    for part in (data[:half], data[half:]):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(part)
        parts.append(sink.getvalue().to_pybytes())
    return b"".join(parts)


def records(folder: Path, wanted: frozenset[str] | None = None, **keys: str) -> list[Record]:
    source = JsonlSource(uri=str(folder), **keys)
    shards = list_shards(source, list_files(str(folder)))
    return [record for shard in shards for record in read(source, shard, LIMIT, wanted)]


def write(folder: Path, *rows: Any, name: str = "list.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source with one picture, and a secret beside it."""
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    (source / "images" / "a.jpg").write_bytes(b"A")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return source


def test_paths_captions_and_whatever_else_stands_on_a_line(folder: Path) -> None:
    (folder / "images" / "b.jpg").write_bytes(b"B")
    rows = [
        {
            "image": "images/a.jpg",
            "caption": "a",
            "score": 0.5,
            "licence": {"name": "CC0"},
            "bad": float("nan"),
        },
        {"image": "images/b.jpg"},
    ]
    path = write(folder, *rows)
    assert records(folder) == [
        Record(
            f"{path}#000000000",
            b"A",
            "a",
            metadata='{"bad":null,"licence":{"name":"CC0"},"score":0.5}',
        ),
        Record(f"{path}#000000001", b"B"),
    ]
    assert [r.image for r in records(folder, frozenset({f"{path}#000000001"}))] == [b"B"]


def test_paths_are_relative_to_the_list(folder: Path) -> None:
    write(folder, {"image": "a.jpg", "caption": "a"}, name="images/list.jsonl")
    assert [r.image for r in records(folder)] == [b"A"]


def test_other_keys(folder: Path) -> None:
    write(folder, {"file": "images/a.jpg", "text": "a", "caption": "not this"})
    (record,) = records(folder, image_key="file", caption_key="text")
    assert (record.image, record.caption, record.metadata) == (b"A", "a", '{"caption":"not this"}')


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_compressed_lists(folder: Path, suffix: str) -> None:
    row = json.dumps({"image": "images/a.jpg", "caption": "a"}).encode() + b"\n"
    codec = "gzip" if suffix.endswith("gz") else "zstd"
    (folder / f"list{suffix}").write_bytes(compressed(row * 1000, codec))
    assert [r.image for r in records(folder)] == [b"A"] * 1000


@pytest.mark.parametrize(
    "path",
    ["../secret.jpg", "images/../../secret.jpg", "/etc/passwd", "link.jpg", "links/secret.jpg", "a\0b"],
)
def test_no_path_leaves_the_folder(folder: Path, path: str) -> None:
    os.symlink(folder.parent / "secret.jpg", folder / "link.jpg")
    os.symlink(folder.parent, folder / "links")
    write(folder, {"image": path, "caption": "a"})
    (record,) = records(folder)
    assert (record.image, record.reason, record.caption) == (None, "bad_path", "a")


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    os.symlink(folder / "images", folder / "here")
    write(folder, {"image": "here/a.jpg"})
    assert [r.image for r in records(folder)] == [b"A"]


def test_bad_lines_are_records_with_reasons(folder: Path) -> None:
    (folder / "large.jpg").write_bytes(b"x" * (LIMIT + 1))
    os.mkfifo(folder / "pipe.jpg")
    bad: dict[str, str] = {
        "{": "not_json",
        "[1]": "not_json",
        "[" * 100_000: "not_json",
        '"' + "x" * (5 << 20) + '"': "not_json",
        '{"caption": "a"}': "no_image",
        '{"image": 7}': "no_image",
        '{"image": "images/none.jpg"}': "missing_file",
        '{"image": "images"}': "missing_file",
        '{"image": "pipe.jpg"}': "missing_file",
        '{"image": "large.jpg"}': "too_many_bytes",
    }
    write(folder, *bad, "", {"image": "images/a.jpg"})
    found = records(folder)
    assert [r.reason for r in found] == [*bad.values(), None]
    assert len({r.source for r in found}) == len(found)


@pytest.mark.parametrize(
    ("caption", "problem"),
    [
        ("7", "caption_invalid"),
        ('"\\ud800"', "caption_invalid"),
        ('"' + "x" * (1 << 21) + '"', "caption_long"),
    ],
)
def test_captions_that_cannot_be_used(folder: Path, caption: str, problem: str) -> None:
    write(folder, f'{{"image": "images/a.jpg", "caption": {caption}}}')
    (record,) = records(folder)
    assert (record.image, record.caption, record.caption_problem) == (b"A", None, problem)


def test_damage_ends_the_file_with_a_record_that_says_where(folder: Path) -> None:
    rows = b"".join(json.dumps({"image": "images/a.jpg", "n": n}).encode() + b"\n" for n in range(9000))
    whole = gzip.compress(rows)
    (folder / "list.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    *good, last = records(folder)
    assert 0 < len(good) < 9000
    assert {record.image for record in good} == {b"A"}
    assert last.reason == "damaged"
    assert f"line {len(good)}" in str(last.detail)


@pytest.mark.parametrize("path", ["http://example.com/a.jpg", "s3://bucket/a.jpg", "file:///etc/passwd"])
def test_an_address_is_no_path(folder: Path, path: str) -> None:
    write(folder, {"image": path}, {"image": "images/a.jpg"})
    assert [r.reason for r in records(folder)] == ["bad_path", None]


def test_a_key_that_is_no_text_is_mended(folder: Path) -> None:
    write(folder, '{"image": "images/a.jpg", "\\ud800": 1, "b": {"\\ud800": 2}}')
    (record,) = records(folder)
    assert (record.image, record.metadata) == (b"A", '{"?":1,"b":{"?":2}}')


def test_a_caption_key_that_only_a_mended_key_has_is_no_caption(folder: Path) -> None:
    write(folder, '{"image": "images/a.jpg", "\\ud800": "a"}')
    (record,) = records(folder, caption_key="?")
    assert (record.image, record.caption, record.caption_problem) == (b"A", None, "caption_invalid")


def test_the_listing_changes_with_the_pictures_below_a_list_and_with_no_others(folder: Path) -> None:
    write(folder, {"image": "a.jpg"}, name="images/list.jsonl")
    write(folder, {"image": "b.jpg"}, name="other/list.jsonl")

    def versions() -> list[str]:
        shards = list_shards(JsonlSource(uri=str(folder)), list_files(str(folder)))
        return [shard.files[0].version for shard in shards]

    first = versions()
    assert versions() == first
    (folder / "other" / "b.jpg").write_bytes(b"B")
    second = versions()
    assert (second[0] == first[0], second[1] == first[1]) == (True, False)
    (folder / "images" / "a.jpg").write_bytes(b"replaced")
    third = versions()
    assert (third[0] == second[0], third[1] == second[1]) == (False, True)
    write(folder, {"image": "a.jpg"}, name="images/more.jsonl")
    assert versions()[0] == third[0], "another list changes nothing for this one"
