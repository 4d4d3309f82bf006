"""All stages over a messy source: what becomes of each record, and that nothing else matters."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.document import ImageSegment, TextSegment
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.curate.stage import read_catalogue
from jobs.curated import iter_documents
from jobs.recipe import FolderSource, ScenesSource

Curate = Callable[..., dict[str, str]]
ReadAll = Callable[[str], dict[str, bytes]]


def test_every_record_has_its_fate(
    messy: tuple[Path, dict[str, str]], source: FolderSource, curate: Curate, tmp_path: Path
) -> None:
    _, expected = messy
    folders = curate(source, tmp_path / "home")
    rows = read_catalogue(folders["captioned"]).to_pylist()
    assert {row["source"].rpartition("#")[2]: row["reason"] or "" for row in rows} == expected
    assert [row["source"] for row in rows] == sorted(row["source"] for row in rows)
    stages = {row["source"].rpartition("#")[2]: row["stage"] for row in rows}
    assert (stages["a01.png"], stages["c0.png"], stages["b0.jpg"]) == ("captioned", "captioned", "filtered")
    by_name = {row["source"].rpartition("#")[2]: row for row in rows}
    assert by_name["x0.png"]["duplicate_of"] == by_name["a00.png"]["sample_id"]
    assert by_name["x1.jpg"]["duplicate_of"] == by_name["a01.png"]["sample_id"]


def test_stages_conserve_records(source: FolderSource, curate: Curate, tmp_path: Path) -> None:
    folders = curate(source, tmp_path / "home", balance_to=0.4)
    counts = [read_manifest(folders[name]).counts for name in ("filtered", "topics", "balanced", "captioned")]
    assert [later.total for later in counts[1:]] == [earlier.kept for earlier in counts[:-1]]
    final = read_catalogue(folders["captioned"])
    assert len(final) == counts[0].total
    rejected = Counter(reason for c in counts for reason, n in c.rejected.items() for _ in range(n))
    assert rejected["over_quota"] > 0
    assert Counter(r for r in final["reason"].to_pylist() if r) == rejected
    assert final["status"].to_pylist().count("kept") == counts[-1].kept


def test_documents_have_the_original_bytes(
    messy: tuple[Path, dict[str, str]], source: FolderSource, curate: Curate, tmp_path: Path
) -> None:
    folders = curate(source, tmp_path / "home")
    documents = list(iter_documents(folders["captioned"]))
    assert len(documents) == 12
    for document, media in documents:
        text, image = document.segments
        assert isinstance(text, TextSegment)
        assert isinstance(image, ImageSegment)
        name = document.metadata["source"].rpartition("#")[2]
        original = (messy[0] / name).read_bytes()
        assert media == {image.member: original}
        assert image.sha256 == hashlib.sha256(original).hexdigest()
        assert text.text == (messy[0] / name).with_suffix(".txt").read_text()
        assert document.metadata["topic"] in ("cat", "dog")


def test_workers_and_kills_change_no_byte(
    source: FolderSource, curate: Curate, read_all: ReadAll, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    folders = curate(source, home, workers=1)
    whole = {name: read_all(folders[name]) for name in ("filtered", "captioned")}
    shutil.rmtree(folders["captioned"])
    for path in ("manifest.parquet", "units/000001.json", "data/catalogue.parquet"):
        (Path(folders["filtered"]) / path).unlink()
    again = curate(source, home, workers=2)
    assert {name: read_all(again[name]) for name in whole} == whole


def test_finished_units_are_not_done_again(source: FolderSource, curate: Curate, tmp_path: Path) -> None:
    """A negative control: a unit with a receipt is trusted, so its records stay as they were scored."""
    home = tmp_path / "home"
    folders = curate(source, home)
    before = read_catalogue(folders["filtered"])
    (Path(source.uri) / "a01.png").write_bytes(b"")
    shutil.rmtree(folders["captioned"])
    with pytest.raises(UserError, match=r"#a01.png: this picture changed"):
        curate(source, home)
    assert read_catalogue(folders["filtered"]).equals(before)


def test_pictures_to_look_at(source: FolderSource, curate: Curate, tmp_path: Path) -> None:
    folders = curate(source, tmp_path / "home", balance_to=0.4)
    names = {
        name: {p.stem for p in (Path(folder) / "pictures").glob("*.png")} for name, folder in folders.items()
    }
    assert {"kept", "rejected-small", "rejected-near_duplicate"} <= names["filtered"]
    assert names["balanced"] == {"topics"}
    assert names["captioned"] == {"captioned", "funnel"}


def test_scenes_go_through_with_their_truth(curate: Curate, tmp_path: Path) -> None:
    folders = curate(ScenesSource(count=30, shard_records=16), tmp_path / "home")
    rows = read_catalogue(folders["captioned"]).to_pylist()
    assert all(row["truth"] for row in rows)
    assert all(document.metadata["truth"] for document, _ in iter_documents(folders["captioned"]))


def test_a_drop_without_a_good_record(curate: Curate, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"")
    folders = curate(FolderSource(uri=str(tmp_path / "in")), tmp_path / "home")
    assert read_manifest(folders["captioned"]).counts.total == 0
    assert read_catalogue(folders["captioned"])["reason"].to_pylist() == ["empty_file"]
