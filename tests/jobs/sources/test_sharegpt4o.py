import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from crafted_tars import CRAFTED

from infra.storage import list_files
from jobs.recipe.sources import ShareGpt4oSource
from jobs.sources import EditRecord
from jobs.sources.edit_files import MAX_PICTURES
from jobs.sources.sharegpt4o import list_shards, read

LIMIT = 100
INDEX = "text_and_image_to_image.json"


def edit(inputs: object, output: object = "image/v2v_1.png", prompt: object = "Add a hat.") -> dict[str, Any]:
    return {"input_prompt": prompt, "input_image": inputs, "output_image": output}


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def write(folder: Path, elements: object, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / INDEX).write_text(json.dumps(elements))


def records(
    folder: Path, wanted: frozenset[str] | None = None, shard_records: int = 1000
) -> list[EditRecord]:
    source = ShareGpt4oSource(uri=str(folder), shard_records=shard_records)
    shards = list_shards(source, list_files(str(folder)))
    return [record for shard in shards for record in read(source, shard, LIMIT, wanted)]


PAIR = {"image/v2v_0.png": b"A", "image/v2v_1.png": b"B"}


def test_pictures_are_read_unpacked(tmp_path: Path) -> None:
    write(tmp_path, [edit(["image/v2v_0.png"])], PAIR)
    (found,) = records(tmp_path)
    assert (found.inputs, found.output, found.instruction) == ((b"A",), b"B", "Add a hat.")
    assert found.subset == "text_and_image_to_image"


def test_pictures_are_read_from_tars_even_of_two(tmp_path: Path) -> None:
    write(
        tmp_path,
        [edit(["image/v2v_0.png", "image/v2v_2.png"]), edit(["image/v2v_1.png"], "image/v2v_2.png")],
        {
            "text_and_image_to_image_part_0.tar": tar({"image/v2v_0.png": b"A", "image/v2v_2.png": b"CC"}),
            "text_and_image_to_image_part_1.tar": tar({"image/v2v_1.png": b"B", "notes.txt": b"x"}),
        },
    )
    for shard_records in (1, 5):
        one, two = records(tmp_path, shard_records=shard_records)
        assert (one.inputs, one.output) == ((b"A", b"CC"), b"B")
        assert (two.inputs, two.output) == ((b"B",), b"CC")


def test_unpacked_pictures_go_before_packed_ones(tmp_path: Path) -> None:
    write(tmp_path, [edit(["image/v2v_0.png"])], PAIR | {"a.tar": tar({"image/v2v_0.png": b"other"})})
    assert records(tmp_path)[0].inputs == (b"A",)


def test_members_before_the_end_of_a_cut_off_tar_are_read(tmp_path: Path) -> None:
    data = tar({"image/v2v_0.png": b"A", "image/v2v_1.png": b"B", "image/v2v_9.png": b"C" * 90})
    write(tmp_path, [edit(["image/v2v_0.png"]), edit(["image/v2v_9.png"])], {"a.tar": data[:2200]})
    found = records(tmp_path)
    assert [(record.output, record.reason) for record in found] == [(b"B", None), (None, "no_file")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (edit(["image/lost.png"]), "no_file"),
        (edit(["../secret.png"]), "bad_path"),
        (edit(["image/link.png"]), "bad_path"),
        (edit([], "image/v2v_1.png"), "bad_record"),
        (edit("image/v2v_0.png"), "bad_record"),
        (edit(["image/v2v_0.png"], None), "bad_path"),
        (edit(["image/large.png"]), "too_many_bytes"),
        ([1], "bad_record"),
    ],
)
def test_a_record_that_is_no_readable_edit_says_why(tmp_path: Path, record: object, reason: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"S")
    folder = tmp_path / "source"
    good = edit(["image/v2v_0.png"])
    write(folder, [good, record, good], PAIR | {"image/large.png": b"x" * (LIMIT + 1)})
    os.symlink(tmp_path / "secret.png", folder / "image" / "link.png")
    found = records(folder)
    assert [one.reason for one in found] == [None, reason, None]
    assert [one.output for one in found] == [b"B", None, b"B"]


def test_an_instruction_that_is_no_text_is_none(tmp_path: Path) -> None:
    prompts = [3, None, "\ud800"]
    write(tmp_path, [edit(["image/v2v_0.png"], prompt=prompt) for prompt in prompts], PAIR)
    assert [record.instruction for record in records(tmp_path)] == [None] * 3


def test_hostile_members_of_a_tar_reach_nothing(tmp_path: Path) -> None:
    buffer = io.BytesIO(tar({"../image/v2v_0.png": b"A", "/image/v2v_1.png": b"B"}))
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        link = tarfile.TarInfo("image/v2v_1.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    write(tmp_path, [edit(["image/v2v_0.png"])], {"a.tar": buffer.getvalue()})
    assert [record.reason for record in records(tmp_path)] == ["no_file"]


def test_a_tar_that_is_a_link_out_of_the_source_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "outside.tar").write_bytes(tar(PAIR))
    folder = tmp_path / "source"
    write(folder, [edit(["image/v2v_0.png"])], {"x.txt": b""})
    os.symlink(tmp_path / "outside.tar", folder / "a.tar")
    assert [record.reason for record in records(folder)] == ["no_file"]


def test_other_json_files_are_no_index(tmp_path: Path) -> None:
    write(tmp_path, [edit(["image/v2v_0.png"])], PAIR)
    (tmp_path / "text_to_image.json").write_text('[{"input_prompt": "a cat", "output_image": "image/1.png"}]')
    assert len(records(tmp_path)) == 1


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("crafted", CRAFTED, ids=lambda name: name)
def test_a_crafted_header_ends_the_tar(tmp_path: Path, crafted: str, place: int) -> None:
    members = tar({"image/v2v_0.png": b"A", "image/v2v_1.png": b"B"})
    data = members[: 1024 * place] + CRAFTED[crafted]("image/v2v_9.png") + members[1024 * place :]
    write(
        tmp_path, [edit(["image/v2v_0.png"], "image/v2v_0.png"), edit(["image/v2v_1.png"])], {"a.tar": data}
    )
    assert [record.reason for record in records(tmp_path)] == [None if place else "no_file", "no_file"]


def test_an_entry_with_too_many_pictures_is_not_read(tmp_path: Path) -> None:
    many = ["image/v2v_0.png"] * MAX_PICTURES
    write(tmp_path, [edit(many[1:]), edit(many)], PAIR)
    inside, beyond = records(tmp_path)
    assert (inside.reason, len(inside.inputs)) == (None, MAX_PICTURES - 1)
    assert (beyond.reason, beyond.inputs, beyond.output) == ("too_many_pictures", (), None)
