"""Storage on an S3 server that answers 500, resets in the middle and dawdles: right bytes, or one error."""

from __future__ import annotations

import os

import pytest
from s3fs import S3FileSystem

from infra import storage
from infra.errors import UserError
from tests.flaky_s3 import FAULTS, flaky


def test_what_is_published_and_read_is_right_whatever_fails(
    s3_server: str, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"{s3_root}/folder/{n:02d}": os.urandom(20_000 + n) for n in range(8)}
    often = {fault: 2 * share for fault, share in FAULTS.items()}
    with flaky(s3_server, seed=4, faults=often) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        S3FileSystem.clear_instance_cache()
        for uri, data in contents.items():
            storage.publish_bytes(uri, data)
        assert [f.uri for f in storage.list_files(f"{s3_root}/folder")] == sorted(contents)
        for uri, data in contents.items():
            assert storage.read_bytes(uri) == data
            assert storage.read_range(uri, 5, 100) == data[5:105]
            with storage.open_input(uri) as stream:
                stream.seek(len(data) - 9)
                assert stream.read() == data[-9:]
    assert proxy.seen.total() >= 5, proxy.seen
    assert len(proxy.seen) >= 3, proxy.seen


def test_a_server_that_only_fails_is_an_error(
    s3_server: str, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.publish_bytes(f"{s3_root}/file", b"x")
    monkeypatch.setattr(storage, "S3_ATTEMPTS", 2)
    with flaky(s3_server, faults={"error": 1.0}) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        S3FileSystem.clear_instance_cache()
        with pytest.raises((UserError, OSError)):
            storage.read_bytes(f"{s3_root}/file")
    S3FileSystem.clear_instance_cache()
