import os
from pathlib import Path

import pytest

from infra.errors import UserError
from infra.storage import list_files
from jobs.recipe.sources import RealEditSource
from jobs.sources import EditRecord
from jobs.sources.realedit import list_shards, read

LIMIT = 100
HEADER = "input_image_name,instruction,output_image_name\n"
PICTURES = {"a.png": b"A", "b.png": b"B", "c.png": b"C"}


def write(folder: Path, table: str | bytes, pictures: dict[str, bytes], name: str = "train.csv") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(table.encode() if isinstance(table, str) else table)
    for picture, data in pictures.items():
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        (folder / picture).write_bytes(data)


def records(
    folder: Path, wanted: frozenset[str] | None = None, shard_records: int = 1000, image_folder: str = ""
) -> list[EditRecord]:
    source = RealEditSource(uri=str(folder), shard_records=shard_records, image_folder=image_folder)
    shards = list_shards(source, list_files(str(folder)))
    found = [record for shard in shards for record in read(source, shard, LIMIT, wanted)]
    assert len({record.source for record in found}) == len(found)
    return found


def test_each_edited_picture_of_a_request_is_a_record(tmp_path: Path) -> None:
    table = HEADER + 'a.png,"Remove the\nman, please",b.png\na.png,Fix it,b.png|c.png\n'
    write(tmp_path, table + """a.png,Fix it,"['b.png', ""c.png""]"\n""", PICTURES)
    found = records(tmp_path)
    assert [(r.inputs, r.output) for r in found] == [((b"A",), x) for x in (b"B", b"B", b"C", b"B", b"C")]
    assert found[0].instruction == "Remove the\nman, please"
    assert {record.subset for record in found} == {"train"}
    assert found[2].source == f"{tmp_path}/train.csv#000000001.1"


def test_columns_of_its_own_curation_mean_the_same(tmp_path: Path) -> None:
    write(tmp_path, "orig_img,instruction,edit_images,score\na.png,Fix it,b.png|c.png,3\n", PICTURES)
    assert [(r.inputs, r.output) for r in records(tmp_path)] == [((b"A",), b"B"), ((b"A",), b"C")]


def test_names_lead_from_the_table_or_from_the_named_folder(tmp_path: Path) -> None:
    write(tmp_path / "tables", HEADER + "x/a.png,Fix it,x/b.png\n", {"x/a.png": b"1", "x/b.png": b"2"})
    write(tmp_path, "", {"images/x/a.png": b"A", "images/x/b.png": b"B"}, "notes.txt")
    assert [record.output for record in records(tmp_path)] == [b"2"]
    assert [record.output for record in records(tmp_path, image_folder="images")] == [b"B"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("lost.png,Fix it,b.png", "no_file"),
        ("a.png,Fix it,", "no_output"),
        (",Fix it,b.png", "bad_path"),
        ("../secret.png,Fix it,b.png", "bad_path"),
        ("/etc/passwd,Fix it,b.png", "bad_path"),
        ("link.png,Fix it,b.png", "bad_path"),
        ("a.png,Fix it,large.png", "too_many_bytes"),
        ("a.png", "no_output"),
    ],
)
def test_a_record_that_is_no_readable_edit_says_why(tmp_path: Path, row: str, reason: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"S")
    folder = tmp_path / "source"
    good = "a.png,Fix it,b.png\n"
    write(folder, f"{HEADER}{good}{row}\n{good}", PICTURES | {"large.png": b"x" * (LIMIT + 1)})
    os.symlink(tmp_path / "secret.png", folder / "link.png")
    assert [record.reason for record in records(folder)] == [None, reason, None]


def test_text_that_is_not_utf8_is_none(tmp_path: Path) -> None:
    write(tmp_path, HEADER.encode() + b"a.png,caf\xe9,b.png\ncaf\xe9.png,ok,b.png\n", PICTURES)
    first, second = records(tmp_path)
    assert (first.instruction, first.output) == (None, b"B")
    assert (second.reason, (second.detail or "").isascii()) == ("bad_path", True)


def test_shards_have_a_bound_and_keep_a_request_together(tmp_path: Path) -> None:
    table = HEADER + "a.png,1,b.png|c.png\n" + "b.png,2,c.png\n" * 3
    write(tmp_path, table, PICTURES)
    source = RealEditSource(uri=str(tmp_path), shard_records=1)
    shards = list_shards(source, list_files(str(tmp_path)))
    assert [(shard.records, shard.start) for shard in shards] == [(2, 0), (1, 1), (1, 2), (1, 3)]
    assert records(tmp_path, shard_records=1) == records(tmp_path)


def test_a_cell_beyond_the_limit_is_damage_that_ends_the_file(tmp_path: Path) -> None:
    row = "a.png,Fix it,b.png\n"
    write(tmp_path, HEADER + row + f"a.png,{'x' * 200_000},b.png\n" + row, PICTURES)
    for shard_records in (1, 5):
        found = records(tmp_path, shard_records=shard_records)
        assert [record.reason for record in found] == [None, "not_csv"]


def test_a_table_of_other_columns_is_one_line(tmp_path: Path) -> None:
    write(tmp_path, "image,text\na.png,x\n", PICTURES)
    with pytest.raises(UserError, match=r"its columns are 'image', 'text'\. It needs input_image_name or"):
        records(tmp_path)


def test_only_wanted_pictures_are_read(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "a.png,1,b.png\na.png,2,c.png\n", PICTURES)
    place = f"{tmp_path}/train.csv#000000001.0"
    assert [(r.source, r.output) for r in records(tmp_path, frozenset({place}))] == [(place, b"C")]
