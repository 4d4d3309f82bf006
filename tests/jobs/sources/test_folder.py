from pathlib import Path

from infra.storage import FileInfo, list_files
from jobs.recipe import FolderSource
from jobs.sources import MAX_CAPTION_BYTES, Record
from jobs.sources.folder import list_shards, read

LIMIT = 1000


def records(folder: Path, wanted: frozenset[str] | None = None) -> list[Record]:
    source = FolderSource(uri=str(folder), shard_records=2)
    shards = list_shards(source, list_files(str(folder)))
    return [record for shard in shards for record in read(source, shard, LIMIT, wanted)]


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def test_pictures_come_with_the_captions_beside_them(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"a.jpg": b"A", "a.txt": b"an a", "sub/a.PNG": b"B", "sub/a.txt": "é".encode(), "b.gif": b""},
    )
    found = {r.source: (r.image, r.caption) for r in records(tmp_path)}
    assert found == {
        f"{tmp_path}#a.jpg": (b"A", "an a"),
        f"{tmp_path}#b.gif": (b"", None),
        f"{tmp_path}/sub#a.PNG": (b"B", "é"),
    }


def test_other_files_and_lone_captions_are_no_records(tmp_path: Path) -> None:
    write(tmp_path, {"README.txt": b"hello", "notes.md": b"x", "a.jpg": b"A"})
    assert [r.source for r in records(tmp_path)] == [f"{tmp_path}#a.jpg"]


def test_of_two_pictures_with_one_name_the_second_is_a_duplicate_key(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": b"A", "a.png": b"B", "a.txt": b"caption"})
    first, second = records(tmp_path)
    assert (first.image, first.caption, first.reason) == (b"A", "caption", None)
    assert (second.image, second.caption, second.reason) == (None, None, "duplicate_key")


def test_captions_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    long = b"x" * (MAX_CAPTION_BYTES + 1)
    write(tmp_path, {"a.jpg": b"A", "a.txt": b"caf\xe9", "b.jpg": b"B", "b.txt": long})
    assert [(r.caption, r.caption_problem) for r in records(tmp_path)] == [
        (None, "caption_not_utf8"),
        (None, "caption_long"),
    ]


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": b"x" * (LIMIT + 1), "b.jpg": b"x" * LIMIT})
    assert [(r.reason, r.image is None) for r in records(tmp_path)] == [
        ("too_many_bytes", True),
        (None, False),
    ]


def test_only_wanted_records_are_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.jpg": b"A", "b.jpg": b"B"})
    place = f"{tmp_path}#b.jpg"
    assert [r.source for r in records(tmp_path, frozenset({place}))] == [place]


def test_shards_have_a_bound_and_never_split_a_name() -> None:
    names = ["a.jpg", "b.jpg", "b.png", "b.txt", "c.jpg", "d.jpg"]
    files = [FileInfo(f"/x/{name}", 1, "") for name in names]
    shards = list_shards(FolderSource(uri="/x", shard_records=2), files)
    assert [[f.uri[3:] for f in shard.files] for shard in shards] == [
        ["a.jpg"],
        ["b.jpg", "b.png", "b.txt"],
        ["c.jpg", "d.jpg"],
    ]
    assert [shard.records for shard in shards] == [1, 2, 2]
