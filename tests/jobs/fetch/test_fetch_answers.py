"""What headers say: who may use a picture, and when to come again."""

from __future__ import annotations

import email.utils
import time

import pytest

from jobs.fetch.answers import check_robots, retry_after, suffix_of
from jobs.fetch.outcome import RefusedError


@pytest.mark.parametrize(
    "tags",
    [
        ["noai"],
        ["NoAI, NoImageAI"],
        ["nofollow, noimageai"],
        ["noindex"],
        ["none"],
        ["*: noai"],
        ["nextscale: noindex"],
        ["otherbot: nofollow", "noai"],
        ["otherbot: nofollow, nextscale: noai"],
        ["max-image-preview: none, noai"],
        ["unavailable_after: Sun, 25 Jun 2090 15:00:00 GMT, noimageai"],
    ],
)
def test_tags_that_keep_us_out(tags: list[str]) -> None:
    with pytest.raises(RefusedError, match="noai"):
        check_robots(tags, 200)


@pytest.mark.parametrize(
    "tags",
    [
        [],
        ["all"],
        ["nofollow, noarchive"],
        ["otherbot: noai"],
        ["otherbot: noindex, noai"],
        ["nextscale: nofollow, otherbot: noai"],
        ["max-image-preview: none"],
        ["unavailable_after: 25-Jun-2090 15:00:00 PST"],
    ],
)
def test_tags_that_do_not(tags: list[str]) -> None:
    check_robots(tags, 200)


def test_retry_after_in_seconds_or_as_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after(" 0 ") == 0
    soon = retry_after(email.utils.formatdate(time.time() + 1000, usegmt=True))
    assert soon is not None
    assert 0 < soon <= 1000
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize(
    "value", [None, "", "-5", "soon", "1e9", "³", "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"]
)
def test_a_retry_after_that_says_nothing(value: str | None) -> None:
    assert retry_after(value) is None


def test_a_file_is_what_its_bytes_are() -> None:
    heads = {
        b"\xff\xd8\xff\xe0": "jpg",
        b"\x89PNG\r\n\x1a\n\0": "png",
        b"GIF89a": "gif",
        b"RIFF\0\0\0\0WEBPVP8 ": "webp",
        b"BM\0": "bmp",
        b"II*\0": "tif",
    }
    assert {head: suffix_of(head, 200) for head in heads} == heads
    for other in (b"", b"<html>", b"RIFF\0\0\0\0WAVE", b"%PDF-1.7", b"\0\0\0 ftypavif"):
        with pytest.raises(RefusedError, match="not_a_picture"):
            suffix_of(other, 200)
