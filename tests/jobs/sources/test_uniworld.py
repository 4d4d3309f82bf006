import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from infra.errors import UserError
from infra.storage import list_files
from jobs.recipe.sources import UniWorldSource
from jobs.sources import EditRecord
from jobs.sources.shards import Shard
from jobs.sources.uniworld import list_shards, read

LIMIT = 100
JSON = "json/imgedit/laion_add_part0_edit.json"
IMAGES = "data/imgedit/add_part0"


def edit(image: object, human: str = "<image>\nAdd a hat.", gpt: str = "<gen_image>") -> dict[str, Any]:
    turns = [{"from": "human", "value": human}, {"from": "gpt", "value": gpt}]
    return {"image": image, "conversations": turns}


def write(folder: Path, records: object, pictures: dict[str, bytes], index: str | None = None) -> None:
    (folder / JSON).parent.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(json.dumps(records))
    for name, data in pictures.items():
        (folder / IMAGES / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / IMAGES / name).write_bytes(data)
    (folder / "data.txt").write_text(index or f"{IMAGES},{JSON},true\n")


def shards(folder: Path, shard_records: int = 1000) -> tuple[UniWorldSource, list[Shard]]:
    source = UniWorldSource(uri=str(folder), shard_records=shard_records)
    return source, list_shards(source, list_files(str(folder)))


def records(
    folder: Path, wanted: frozenset[str] | None = None, shard_records: int = 1000
) -> list[EditRecord]:
    source, found = shards(folder, shard_records)
    read_records = [record for shard in found for record in read(source, shard, LIMIT, wanted)]
    if wanted is None:
        assert len(read_records) == sum(shard.records for shard in found)
    assert len({record.source for record in read_records}) == len(read_records)
    return read_records


def test_the_last_picture_is_the_edit_of_those_before(tmp_path: Path) -> None:
    write(
        tmp_path,
        [edit(["a.png", "b.png"]), edit(["a.png", "b.png", "c.png"], "Put <image> onto <image>")],
        {"a.png": b"A", "b.png": b"B", "c.png": b"C"},
    )
    one, two = records(tmp_path)
    assert (one.inputs, one.output, one.instruction) == ((b"A",), b"B", "Add a hat.")
    assert (one.subset, one.task) == ("json/imgedit/laion_add_part0_edit", "add")
    assert (two.inputs, two.output, two.instruction) == ((b"A", b"B"), b"C", "Put picture 1 onto picture 2")


@pytest.mark.parametrize(
    ("text", "instruction"),
    [
        ("<image>\nAdd a hat.", "Add a hat."),
        ("Add a\nhat. <image>", "Add a hat."),
        ("<image>\n<image>\nMerge them.", "Merge them."),
        ("<image> Put the dog of <image> into <image>", "Put the dog of picture 2 into picture 3"),
        ("<image>", ""),
    ],
)
def test_marks_around_the_words_go_and_marks_among_them_are_numbered(
    tmp_path: Path, text: str, instruction: str
) -> None:
    write(tmp_path, [edit(["a.png", "b.png"], text)], {"a.png": b"A", "b.png": b"B"})
    assert records(tmp_path)[0].instruction == instruction


def test_the_words_are_those_of_the_last_turn(tmp_path: Path) -> None:
    record = edit(["a.png", "b.png"])
    first = [{"from": "human", "value": "<image> What is it?"}, {"from": "gpt", "value": "A cat."}]
    record["conversations"] = first + record["conversations"]
    write(tmp_path, [record], {"a.png": b"A", "b.png": b"B"})
    assert records(tmp_path)[0].instruction == "Add a hat."


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (edit("a.png", "a cat"), "not_an_edit"),
        (edit(["a.png", "b.png"], gpt="It is a cat."), "not_an_edit"),
        ({"conversations": edit([])["conversations"]}, "not_an_edit"),
        (edit(["a.png", "lost.png"]), "no_file"),
        (edit(["a.png", "../../../../secret.png"]), "bad_path"),
        (edit(["/etc/passwd", "b.png"]), "bad_path"),
        (edit(["file:///etc/passwd", "b.png"]), "bad_path"),
        (edit(["a.png", "\ud800.png"]), "bad_path"),
        (edit(["a.png", 3]), "bad_path"),
        (edit(["a.png", "large.png"]), "too_many_bytes"),
        (edit(["a.png", "link.png"]), "bad_path"),
        ({"image": ["a.png", "b.png"]}, "bad_record"),
        ({"image": ["a.png", "b.png"], "conversations": [{"from": "human"}]}, "bad_record"),
        ({"image": ["a.png", "b.png"], "conversations": [{"from": "human", "value": 3}]}, "bad_record"),
        ("a text", "bad_record"),
        (None, "bad_record"),
    ],
)
def test_a_record_that_is_no_readable_edit_says_why(tmp_path: Path, record: object, reason: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"S")
    folder = tmp_path / "source"
    pictures = {"a.png": b"A", "b.png": b"B", "large.png": b"x" * (LIMIT + 1)}
    write(folder, [edit(["a.png", "b.png"]), record, edit(["b.png", "a.png"])], pictures)
    os.symlink(tmp_path / "secret.png", folder / IMAGES / "link.png")
    first, found, last = records(folder)
    assert (found.reason, found.output, found.inputs) == (reason, None, ())
    assert found.detail
    assert (found.detail or "").encode()
    assert (first.output, last.output) == (b"B", b"A")


def test_links_within_the_source_are_followed(tmp_path: Path) -> None:
    write(tmp_path, [edit(["a.png", "link.png"])], {"a.png": b"A", "b.png": b"B"})
    os.symlink("b.png", tmp_path / IMAGES / "link.png")
    assert records(tmp_path)[0].output == b"B"


def test_shards_have_a_bound_and_read_only_their_own_records(tmp_path: Path) -> None:
    names = [f"é{n}.png" for n in range(8)]
    pairs = [edit([a, b], f"<image> número {a}") for a, b in pairwise(names)]
    write(tmp_path, pairs, {name: name.encode() for name in names})
    _, cut = shards(tmp_path, 3)
    assert [(shard.name, shard.records) for shard in cut] == [("000000", 3), ("000001", 3), ("000002", 1)]
    assert {file.uri.rpartition("/")[2] for file in cut[2].files[2:]} == {"é6.png", "é7.png"}
    whole = records(tmp_path)
    assert records(tmp_path, shard_records=3) == whole
    assert [record.output for record in whole] == [name.encode() for name in names[1:]]


def test_a_changed_picture_changes_its_shard_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        [edit(["a.png", "b.png"]), edit(["c.png", "d.png"])],
        dict.fromkeys(("a.png", "b.png", "c.png", "d.png"), b"x"),
    )
    before = shards(tmp_path, 1)[1]
    os.utime(tmp_path / IMAGES / "d.png", (1, 1))
    after = shards(tmp_path, 1)[1]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False]


def test_only_wanted_pictures_are_read(tmp_path: Path) -> None:
    write(tmp_path, [edit(["a.png", "b.png"]), edit(["b.png", "a.png"])], {"a.png": b"A", "b.png": b"B"})
    place = records(tmp_path)[1].source
    (found,) = records(tmp_path, frozenset({place}))
    assert (found.source, found.output) == (place, b"A")


def test_a_cut_off_file_gives_its_good_records_and_one_damage(tmp_path: Path) -> None:
    write(tmp_path, [edit(["a.png", "b.png"]), edit(["b.png", "a.png"])], {"a.png": b"A", "b.png": b"B"})
    whole = (tmp_path / JSON).read_bytes()
    (tmp_path / JSON).write_bytes(whole[:-30])
    for shard_records in (1, 5):
        found = records(tmp_path, shard_records=shard_records)
        assert [record.reason for record in found] == [None, "not_json"]
    (tmp_path / JSON).write_text('{"image": 1}')
    assert [record.reason for record in records(tmp_path)] == ["not_json"]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (f"{IMAGES},{JSON}", "line 1: 2 columns instead of image_root,json,need_weight"),
        (f"\n/data,{JSON},true", "line 2: '/data' leaves the source's folder"),
        (f"{IMAGES},../x.json,true", "line 1: '../x.json' leaves the source's folder"),
        (f"{IMAGES},lost.json,true", "lost.json is not in the source's folder"),
        (f"a,{JSON},true\nb,{JSON},false", "line 2: .* is named a second time"),
        (f"{IMAGES},linked.json,true", "linked.json is not in the source's folder"),
    ],
)
def test_a_wrong_index_is_one_line(tmp_path: Path, index: str, message: str) -> None:
    (tmp_path / "outside.json").write_text("[]")
    folder = tmp_path / "source"
    write(folder, [edit(["a.png", "b.png"])], {"a.png": b"A"}, index)
    os.symlink(tmp_path / "outside.json", folder / "linked.json")
    with pytest.raises(UserError, match=message):
        shards(folder)


def test_a_folder_without_an_index_has_no_shards(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"A")
    assert shards(tmp_path)[1] == []
