"""Manifests and receipts: published last, read back whole, the same bytes for the same content."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.manifest import (
    FileEntry,
    Manifest,
    Output,
    Receipt,
    find_manifest,
    fingerprint,
    read_manifest,
    table_bytes,
)

COUNTS = Counts(total=3, kept=1, rejected={"small": 2})


def make(output: Output, asset: str = "t2i/filtered") -> Manifest:
    entry = output.publish_table("data/a.parquet", pa.table({"x": [1, 2, 3]}))
    return Manifest(asset=asset, partition="d0", fingerprint="f", files=(entry,), counts=COUNTS)


def test_a_committed_manifest_reads_back(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    assert find_manifest(output.uri) is None
    manifest = output.commit(make(output))
    assert read_manifest(output.uri) == manifest
    assert manifest.paths(".parquet") == ["data/a.parquet"]
    assert manifest.files[0].rows == 3


@pytest.mark.parametrize("kept", [0, 1, 200, -1])
def test_a_damaged_manifest_is_one_line(tmp_path: Path, kept: int) -> None:
    output = Output(str(tmp_path))
    output.commit(make(output))
    path = tmp_path / "manifest.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"manifest\.parquet: the manifest is damaged"):
        read_manifest(output.uri)


def test_a_table_that_is_no_manifest_is_one_line(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "manifest.parquet")
    with pytest.raises(UserError, match=r"manifest\.parquet: the manifest is damaged"):
        read_manifest(str(tmp_path))


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        output = Output(str(tmp_path / name))
        output.commit(make(output))
    one, two = (storage.list_files(str(tmp_path / name)) for name in ("one", "two"))
    assert [storage.read_bytes(f.uri) for f in one] == [storage.read_bytes(f.uri) for f in two]


def test_the_data_version_follows_content_and_nothing_else(tmp_path: Path) -> None:
    manifest = make(Output(str(tmp_path)))
    assert manifest.hash == manifest.model_copy(update={"fingerprint": "g", "partition": "d1"}).hash
    changed = FileEntry(path="data/a.parquet", bytes=1, sha256="0", rows=3)
    assert manifest.hash != manifest.model_copy(update={"files": (changed,)}).hash


def test_receipts_read_back_by_unit(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    receipt = Receipt(unit="s0", files=(output.publish("data/s0.bin", b"x", rows=1),), counts=COUNTS)
    output.finish_unit(receipt)
    assert output.receipts() == {"s0": receipt}


def test_pictures_are_found_by_name(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    uri = output.picture("funnel", b"png")
    assert output.pictures() == {"funnel": uri}


def test_a_manifest_of_another_version_says_how_to_go_on(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    output.commit(make(output))
    path = tmp_path / "manifest.parquet"
    table = pq.read_table(path)
    header = table.schema.metadata[b"nextscale"].replace(b'"schema_version": 1', b'"schema_version": 9')
    path.write_bytes(table_bytes(table.replace_schema_metadata({b"nextscale": header})))
    with pytest.raises(UserError, match="manifest version 9, this software reads 1"):
        read_manifest(output.uri)


settings = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)


@given(settings, settings)
def test_fingerprints_differ_exactly_with_the_settings(a: dict[str, object], b: dict[str, object]) -> None:
    same = fingerprint("x", "1", a, {}) == fingerprint("x", "1", b, {})
    assert same == (a == b)


def test_fingerprints_follow_version_and_inputs() -> None:
    base = fingerprint("x", "1", {}, {"a": ["h"]})
    assert base != fingerprint("x", "2", {}, {"a": ["h"]})
    assert base != fingerprint("x", "1", {}, {"a": ["i"]})
    assert base != fingerprint("y", "1", {}, {"a": ["h"]})
