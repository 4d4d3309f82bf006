"""Local and S3 storage behave alike; publishing is atomic; failures say how to mend them."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3fs import S3FileSystem

from infra import storage
from infra.errors import UserError


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("s3_root")


def test_published_bytes_read_back(root: str, tmp_path: Path) -> None:
    uri = storage.join(root, "a", "b.bin")
    assert storage.publish_bytes(uri, b"0123456789") == hashlib.sha256(b"0123456789").hexdigest()
    assert storage.exists(uri)
    assert storage.read_bytes(uri) == b"0123456789"
    assert storage.read_range(uri, 3, 4) == b"3456"
    assert storage.sha256(uri) == hashlib.sha256(b"0123456789").hexdigest()
    with storage.open_input(uri) as stream:
        stream.seek(8)
        assert stream.read() == b"89"
    with storage.local_copy(uri, str(tmp_path)) as path:
        assert path.read_bytes() == b"0123456789"


def test_listings_are_sorted_recursive_and_sized(root: str) -> None:
    for name, data in {"z.txt": b"1", "a/x.txt": b"22", "a/b/y.txt": b"333"}.items():
        storage.publish_bytes(storage.join(root, name), data)
    found = storage.list_files(root)
    assert [f.uri.removeprefix(root + "/") for f in found] == ["a/b/y.txt", "a/x.txt", "z.txt"]
    assert [f.bytes for f in found] == [3, 2, 1]
    assert storage.file_info(found[0].uri) == found[0]


def test_a_rewritten_file_has_another_version(root: str) -> None:
    uri = storage.join(root, "f")
    storage.publish_bytes(uri, b"one")
    before = storage.file_info(uri).version
    time.sleep(0.01)
    storage.publish_bytes(uri, b"two")
    assert storage.file_info(uri).version != before


def test_size_limits_hold_before_reading(root: str) -> None:
    uri = storage.join(root, "big")
    storage.publish_bytes(uri, b"x" * 100)
    with pytest.raises(UserError, match="100 bytes exceed the limit of 99"):
        storage.read_bytes(uri, limit=99)


def test_a_missing_file_is_one_line(root: str) -> None:
    with pytest.raises(UserError, match="no such file") as caught:
        storage.read_bytes(storage.join(root, "nope"))
    assert "\n" not in str(caught.value)
    assert storage.exists(storage.join(root, "nope")) is False
    assert storage.list_files(storage.join(root, "nope")) == []


@given(st.lists(st.sampled_from(["..", "a", "b"]), min_size=1, max_size=4))
def test_names_cannot_climb_out_of_their_folder(parts: list[str]) -> None:
    name = "/".join(parts)
    if ".." in parts:
        with pytest.raises(ValueError, match="leaves its folder"):
            storage.join("/root", name)
    else:
        assert storage.join("/root", name) == f"/root/{name}"


def test_absolute_names_are_refused() -> None:
    with pytest.raises(ValueError, match="leaves its folder"):
        storage.join("s3://bucket", "/etc/passwd")


def test_unknown_schemes_are_refused() -> None:
    with pytest.raises(UserError, match="not supported"):
        storage.exists("ftp://host/file")


def test_a_missing_bucket_says_so(s3_root: str) -> None:
    for act in (storage.list_files, storage.read_bytes):
        with pytest.raises(UserError, match="bucket 'no-such-bucket' does not exist"):
            act("s3://no-such-bucket/folder")
    with pytest.raises(UserError, match="bucket 'no-such-bucket' does not exist"):
        storage.publish_bytes("s3://no-such-bucket/file", b"x")


def test_no_credentials_say_so(s3_root: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match="no S3 credentials"):
        storage.read_bytes(f"{s3_root}/file")


def test_an_endpoint_that_does_not_answer_says_so(monkeypatch: pytest.MonkeyPatch, s3_root: str) -> None:
    monkeypatch.setattr(storage, "S3_ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="endpoint does not answer"):
        storage.read_bytes("s3://anything/file")


def test_a_full_disk_says_so_and_leaves_nothing(full_disk: Path) -> None:
    with pytest.raises(UserError, match="the disk is full"):
        storage.publish_bytes(str(full_disk / "file"), b"x" * 4_000_000)
    assert list(full_disk.iterdir()) == []


def test_a_killed_publish_is_never_seen(tmp_path: Path) -> None:
    """Kill a writer again and again: readers find whole files or none."""
    script = (
        "from infra import storage\n"
        "import itertools, sys\n"
        "for i in itertools.count():\n"
        "    storage.publish_bytes(f'{sys.argv[1]}/{i % 3}', bytes([i % 251]) * 3_000_000)\n"
    )
    for delay in (0.0, 0.013, 0.029, 0.041):
        writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
        while not (tmp_path / "2").exists():
            time.sleep(0.01)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        for file in storage.list_files(str(tmp_path)):
            data = storage.read_bytes(file.uri)
            assert len(data) == 3_000_000
            assert len(set(data)) == 1
        (tmp_path / "2").unlink()
    (tmp_path / f"{storage.TEMPORARY_PREFIX}left").write_bytes(b"half")
    assert all("left" not in f.uri for f in storage.list_files(str(tmp_path)))
    storage.clear_unfinished(str(tmp_path))
    assert not list(tmp_path.glob(f"{storage.TEMPORARY_PREFIX}*"))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting a small file system needs root: {os.fsdecode(done.stderr).strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)
