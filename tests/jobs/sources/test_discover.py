import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra import storage
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.recipe import (
    FolderSource,
    Level,
    Model,
    ParquetSource,
    Recipe,
    ScenesSource,
    Source,
    Sources,
    Tokenizer,
    TokenizerStage,
    WebDatasetSource,
)
from jobs.recipe.sources import JsonlSource, Mix, ReLaionSource
from jobs.sources.discover import discover, raw_output
from jobs.sources.read import read_pictures
from jobs.sources.shards import read_shards


def recipe(source: Source) -> Recipe:
    stage = TokenizerStage(steps=1)
    return Recipe(
        name="test",
        sources=Sources(t2i=source),
        levels={"l": Level(schedule=[1])},
        tokenizer=Tokenizer(preset="tiny", level="l", pixel=stage, joint=stage, decoder=stage),
        model=Model(preset="tiny"),
        stages={},
    )


def fill(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number:03d}.png").write_bytes(b"x")


def test_drops_hold_every_file_once(tmp_path: Path) -> None:
    fill(tmp_path / "in", 10)
    plan = recipe(FolderSource(uri=str(tmp_path / "in"), shard_records=2, drop_shards=2))
    home = str(tmp_path / "home")
    drops = discover(plan, home)["t2i"]
    assert drops == ["t2i-0000", "t2i-0001", "t2i-0002"]
    shards = [shard for drop in drops for shard in read_shards(raw_output(plan, home, "t2i", drop))]
    assert [f.uri for shard in shards for f in shard.files] == [
        str(p) for p in sorted((tmp_path / "in").iterdir())
    ]
    assert len({shard.name for shard in shards}) == 5


def test_again_without_change_is_the_same_and_a_change_touches_its_drop_only(tmp_path: Path) -> None:
    fill(tmp_path / "in", 6)
    plan = recipe(FolderSource(uri=str(tmp_path / "in"), shard_records=2, drop_shards=2))
    home = str(tmp_path / "home")

    def folders() -> dict[str, str]:
        return {drop: raw_output(plan, home, "t2i", drop) for drop in discover(plan, home)["t2i"]}

    first = folders()
    assert folders() == first
    (tmp_path / "in" / "005.txt").write_bytes(b"a caption")
    second = folders()
    assert second["t2i-0000"] == first["t2i-0000"]
    assert second["t2i-0001"] != first["t2i-0001"]
    assert read_manifest(second["t2i-0001"]).metadata == {"shards": 1, "files": 3, "bytes": 11}


def test_scenes_need_no_files(tmp_path: Path) -> None:
    plan = recipe(ScenesSource(count=250, shard_records=100))
    assert discover(plan, str(tmp_path)) == {"t2i": ["t2i-0000"]}
    folder = raw_output(plan, str(tmp_path), "t2i", "t2i-0000")
    assert [(s.start, s.records) for s in read_shards(folder)] == [(0, 100), (100, 100), (200, 50)]
    assert read_manifest(folder).counts.kept == 250


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (FolderSource, "no pictures"),
        (WebDatasetSource, "no .tar files"),
        (ParquetSource, "no .parquet files"),
    ],
)
def test_a_folder_with_nothing_to_read_is_one_clear_line(tmp_path: Path, kind: type, what: str) -> None:
    (tmp_path / "in").mkdir()
    plan = recipe(kind(uri=str(tmp_path / "in")))
    with pytest.raises(UserError, match=f"{what} here, no files at all.*sources.t2i.uri"):
        discover(plan, str(tmp_path / "home"))
    (tmp_path / "in" / "a.md").write_text("x")
    with pytest.raises(UserError, match=f"{what} here, 1 other files"):
        discover(plan, str(tmp_path / "home"))
    with pytest.raises(UserError, match="no such folder"):
        discover(recipe(kind(uri=str(tmp_path / "missing"))), str(tmp_path / "home"))


def test_a_drop_that_is_gone_is_an_error(tmp_path: Path) -> None:
    plan = recipe(ScenesSource(count=1))
    with pytest.raises(UserError, match="not discovered"):
        raw_output(plan, str(tmp_path), "t2i", "t2i-0000")


def test_a_name_that_is_not_utf8_is_one_clear_line(tmp_path: Path) -> None:
    fill(tmp_path / "in", 1)
    Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/caf\xe9.png")).write_bytes(b"x")
    with pytest.raises(UserError, match="name is not UTF-8"):
        discover(recipe(FolderSource(uri=str(tmp_path / "in"))), str(tmp_path / "home"))


def test_a_bucket_is_a_source_and_a_home(s3_root: str) -> None:
    storage.publish_bytes(f"{s3_root}/in/a.png", b"x")
    storage.publish_bytes(f"{s3_root}/in/a.txt", b"a caption")
    plan = recipe(FolderSource(uri=f"{s3_root}/in"))
    (drop,) = discover(plan, f"{s3_root}/home")["t2i"]
    (shard,) = read_shards(raw_output(plan, f"{s3_root}/home", "t2i", drop))
    assert [f.uri for f in shard.files] == [f"{s3_root}/in/a.png", f"{s3_root}/in/a.txt"]


def test_a_missing_bucket_is_one_clear_line(s3_root: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'no-such-bucket' does not exist"):
        discover(recipe(FolderSource(uri="s3://no-such-bucket/in")), str(tmp_path))


def test_discovery_is_light() -> None:
    script = "import sys, jobs.sources.discover; print(sorted({'torch', 'ray', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_mix_has_the_shards_of_every_part_and_each_family_its_own_drops(tmp_path: Path) -> None:
    parts = {"one": ScenesSource(count=30, shard_records=10), "two": ScenesSource(count=5, seed=1)}
    plan = recipe(Mix[ScenesSource](parts=parts, drop_shards=3))
    drops = discover(plan, str(tmp_path))["t2i"]
    shards = [s for drop in drops for s in read_shards(raw_output(plan, str(tmp_path), "t2i", drop))]
    assert [(s.name, s.part) for s in shards] == [
        ("one-000000", "one"),
        ("one-000001", "one"),
        ("one-000002", "one"),
        ("two-000000", "two"),
    ]
    assert len(drops) == 2
    records = [record for shard in shards for record in read_pictures(plan.sources.t2i, shard, 1 << 20)]
    assert len({record.source for record in records}) == 35


def test_a_file_that_was_not_readable_once_is_listed_whole_the_next_time(tmp_path: Path) -> None:
    """Same URI, size and time: only what was counted differs."""
    path, home = tmp_path / "in" / "a.parquet", str(tmp_path / "home")
    path.parent.mkdir()
    pq.write_table(pa.table({"url": ["http://a/0"] * 9, "caption": ["a"] * 9}), path)
    whole, times = path.read_bytes(), (1_700_000_000, 1_700_000_000)
    plan = recipe(ReLaionSource(uri=str(path.parent)))
    records = []
    for data in (bytes(len(whole)), whole):
        path.write_bytes(data)
        os.utime(path, times)
        # In a process of its own, as a daemon that starts again.
        script = "import sys; from jobs.recipe import Recipe; from jobs.sources.discover import discover\n"
        script += "discover(Recipe.model_validate_json(sys.argv[1]), sys.argv[2])"
        subprocess.run([sys.executable, "-c", script, plan.model_dump_json(), home], check=True)
        (shard,) = read_shards(raw_output(plan, home, "t2i", "t2i-0000"))
        records.append(shard.records)
    assert records == [1, 9]


def test_a_link_that_leads_nowhere_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path / "in", 2)
    os.symlink(tmp_path / "gone.png", tmp_path / "in" / "link.png")
    os.symlink("loop.png", tmp_path / "in" / "loop.png")
    plan = recipe(FolderSource(uri=str(tmp_path / "in")))
    (drop,) = discover(plan, str(tmp_path / "home"))["t2i"]
    (shard,) = read_shards(raw_output(plan, str(tmp_path / "home"), "t2i", drop))
    assert [Path(file.uri).name for file in shard.files] == ["000.png", "001.png"]


def test_pictures_that_come_after_their_list_are_found(tmp_path: Path) -> None:
    folder, home = tmp_path / "in", str(tmp_path / "home")
    folder.mkdir()
    (folder / "list.jsonl").write_text('{"image": "a.jpg"}\n')
    plan = recipe(JsonlSource(uri=str(folder)))

    def reasons() -> list[str | None]:
        (drop,) = discover(plan, home)["t2i"]
        listed.add(raw_output(plan, home, "t2i", drop))
        shards = read_shards(raw_output(plan, home, "t2i", drop))
        return [r.reason for shard in shards for r in read_pictures(plan.sources.t2i, shard, 1000)]

    listed: set[str] = set()
    assert reasons() == ["missing_file"]
    (folder / "a.jpg").write_bytes(b"A")
    assert reasons() == [None]
    assert len(listed) == 2
