import io
import json
import tarfile
from pathlib import Path

import pytest
from crafted_tars import CRAFTED

from infra.storage import list_files
from jobs.recipe import WebDatasetSource
from jobs.sources import Record
from jobs.sources.webdataset import list_shards, read

LIMIT = 5000


def tar(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def records(folder: Path, data: bytes, wanted: frozenset[str] | None = None) -> list[Record]:
    (folder / "s.tar").write_bytes(data)
    source = WebDatasetSource(uri=str(folder))
    (shard,) = list_shards(source, list_files(str(folder)))
    found = list(read(source, shard, LIMIT, wanted))
    assert len({record.source for record in found}) == len(found)
    return found


def outcomes(found: list[Record]) -> list[tuple[str, bytes | None, str | None, str | None]]:
    return [(r.source.partition("#")[2], r.image, r.caption, r.reason) for r in found]


def test_members_of_a_key_make_a_record(tmp_path: Path) -> None:
    described = json.dumps({"caption": "from json"}).encode()
    members = [
        ("a.jpg", b"A"),
        ("a.txt", b"from text"),
        ("a.json", described),
        ("d/b.json", described),
        ("d/b.png", b"B"),
        ("d/c.cls", b"7"),
        ("d/c.webp", b"C"),
    ]
    assert outcomes(records(tmp_path, tar(members))) == [
        ("a.jpg", b"A", "from text", None),
        ("d/b.png", b"B", "from json", None),
        ("d/c.webp", b"C", None, None),
    ]


def test_names_that_return_are_duplicate_keys(tmp_path: Path) -> None:
    members = [("a.jpg", b"A"), ("a.jpg", b"B"), ("a.png", b"C"), ("b.jpg", b"D"), ("a.jpg", b"E")]
    assert outcomes(records(tmp_path, tar(members))) == [
        ("a.jpg", b"A", None, None),
        ("a.jpg@2", None, None, "duplicate_key"),
        ("a.png", None, None, "duplicate_key"),
        ("b.jpg", b"D", None, None),
        ("a.jpg@3", None, None, "duplicate_key"),
    ]


def test_a_caption_without_a_picture_is_no_image(tmp_path: Path) -> None:
    members = [("a.txt", b"x"), ("b.jpg", b"B")]
    assert outcomes(records(tmp_path, tar(members))) == [
        ("a.txt", None, None, "no_image"),
        ("b.jpg", b"B", None, None),
    ]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.txt", b"\xff", "caption_not_utf8"),
        ("a.json", b"\xff", "caption_not_utf8"),
        ("a.json", b"{", "caption_invalid"),
        ("a.json", b"[1]", "caption_invalid"),
        ("a.json", b'{"caption": 3}', "caption_invalid"),
        ("a.json", b'{"caption": "\\ud800"}', "caption_invalid"),
        ("a.json", b"{}", None),
    ],
)
def test_captions_that_cannot_be_used_say_why(
    tmp_path: Path, name: str, data: bytes, problem: str | None
) -> None:
    (record,) = records(tmp_path, tar([("a.jpg", b"A"), (name, data)]))
    assert (record.image, record.caption, record.caption_problem) == (b"A", None, problem)


def test_every_cut_keeps_the_good_records_and_counts_one_broken(tmp_path: Path) -> None:
    """Members take 512 bytes of header and 512 of data here; key k is at 2048 k."""
    members = [m for k in range(4) for m in ((f"{k}.jpg", b"x" * 300), (f"{k}.txt", b"caption"))]
    whole = tar(members)
    for cut in range(700, 4 * 2048 + 1, 256):
        *good, broken = records(tmp_path, whole[:cut])
        assert broken.reason == "truncated_tar"
        assert len(good) in (cut // 2048, cut // 2048 + 1)
        assert all(r.image == b"x" * 300 and not r.reason for r in good)
        assert all(r.caption == "caption" for r in good[: cut // 2048])
    assert [r.reason for r in records(tmp_path, whole)] == [None] * 4


def test_what_is_no_tar(tmp_path: Path) -> None:
    assert [r.reason for r in records(tmp_path, b"<html>" * 1000)] == ["not_a_tar"]
    assert [r.reason for r in records(tmp_path, b"")] == ["not_a_tar"]


def test_garbage_in_the_middle_is_damage(tmp_path: Path) -> None:
    data = tar([("a.jpg", b"A")])[:1024] + b"\x07" * 2048
    assert [r.reason for r in records(tmp_path, data)] == [None, "truncated_tar"]


def test_large_members_and_links_are_not_read(tmp_path: Path) -> None:
    buffer = io.BytesIO(tar([("a.jpg", b"x" * (LIMIT + 1))]))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        link = tarfile.TarInfo("b.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert [(r.reason, r.image) for r in records(tmp_path, buffer.getvalue())] == [
        ("too_many_bytes", None),
        ("not_an_image", None),
    ]


def test_hostile_names_stay_names(tmp_path: Path) -> None:
    names = ["../../up.jpg", "/root.jpg", b"caf\xe9.jpg".decode("utf-8", "surrogateescape")]
    found = records(tmp_path, tar([(name, b"A") for name in names]))
    assert [r.image for r in found] == [b"A"] * 3
    assert all(r.source.encode() for r in found)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]


def test_only_wanted_pictures_are_read(tmp_path: Path) -> None:
    place = f"{tmp_path}/s.tar#b.jpg"
    found = records(tmp_path, tar([("a.jpg", b"A"), ("b.jpg", b"B"), ("c.jpg", b"C")]), frozenset({place}))
    assert [(r.source, r.image) for r in found] == [(place, b"B")]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("crafted", CRAFTED, ids=lambda name: name)
def test_a_crafted_header_ends_the_tar_with_a_record(tmp_path: Path, crafted: str, place: int) -> None:
    members = tar([("a.jpg", b"A"), ("b.jpg", b"B")])
    data = members[: 1024 * place] + CRAFTED[crafted]("c.jpg") + members[1024 * place :]
    *before, damage = outcomes(records(tmp_path, data))
    assert before == [("a.jpg", b"A", None, None)][:place]
    assert damage[3] == ("truncated_tar" if place else "not_a_tar")
