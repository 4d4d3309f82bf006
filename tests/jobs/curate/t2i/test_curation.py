"""All stages over a messy source: what becomes of each record, and that nothing else matters."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from curate.t2i.hostile import encode, photo
from damage import write_damaged_parquet

from infra.document import ImageSegment, TextSegment
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.curate.stage import read_catalogue
from jobs.curated import iter_documents
from jobs.recipe import Balance, Filters, FolderSource, ParquetSource, ScenesSource, T2ICuration
from jobs.recipe.curation.t2i import Embedding, Selection

Curate = Callable[..., dict[str, str]]
ReadAll = Callable[[str], dict[str, bytes]]

CAPPED = Balance(max_share=0.4)


def test_every_record_has_its_fate(messy: tuple[Path, dict[str, str]], finished: dict[str, str]) -> None:
    _, expected = messy
    rows = read_catalogue(finished["captioned"]).to_pylist()
    assert {row["source"].rpartition("#")[2]: row["reason"] or "" for row in rows} == expected
    assert [row["source"] for row in rows] == sorted(row["source"] for row in rows)
    stages = {row["source"].rpartition("#")[2]: row["stage"] for row in rows}
    decided = (stages[name] for name in ("a01.png", "c0.png", "b0.jpg", "b4.png"))
    assert tuple(decided) == ("captioned", "captioned", "scored", "filtered")
    by_name = {row["source"].rpartition("#")[2]: row for row in rows}
    assert by_name["x0.png"]["duplicate_of"] == by_name["a00.png"]["sample_id"]
    assert by_name["x1.jpg"]["duplicate_of"] == by_name["a01.png"]["sample_id"]


def test_stages_conserve_records(
    source: FolderSource, curate: Curate, curation: T2ICuration, tmp_path: Path
) -> None:
    capped = curation.model_copy(update={"balance": CAPPED})
    folders = curate(source, tmp_path / "home", capped)
    stages = ("scored", "filtered", "topics", "balanced", "captioned")
    counts = [read_manifest(folders[name]).counts for name in stages]
    assert [later.total for later in counts[1:]] == [earlier.kept for earlier in counts[:-1]]
    final = read_catalogue(folders["captioned"])
    assert len(final) == counts[0].total
    rejected = Counter(reason for c in counts for reason, n in c.rejected.items() for _ in range(n))
    assert rejected["over_quota"] > 0
    assert Counter(r for r in final["reason"].to_pylist() if r) == rejected
    assert final["status"].to_pylist().count("kept") == counts[-1].kept


def test_documents_have_the_original_bytes(
    messy: tuple[Path, dict[str, str]], finished: dict[str, str]
) -> None:
    documents = list(iter_documents(finished["captioned"]))
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
    source: FolderSource, curate: Curate, finished: dict[str, str], read_all: ReadAll, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(Path(finished["scored"]), home / "scored")
    for path in ("manifest.parquet", "units/000001.json", "data/catalogue.parquet"):
        (home / "scored" / path).unlink()
    again = curate(source, home, workers=2)
    for stage in ("scored", "filtered", "topics", "balanced", "captioned"):
        assert read_all(again[stage]) == read_all(finished[stage]), stage


def test_finished_units_are_not_done_again(
    source: FolderSource, curate: Curate, finished: dict[str, str], tmp_path: Path
) -> None:
    """A negative control: a unit with a receipt is trusted, so its records stay as they were scored."""
    pictures, home = tmp_path / "pictures", tmp_path / "home"
    shutil.copytree(source.uri, pictures)
    moved = source.model_copy(update={"uri": str(pictures)})
    before = read_catalogue(curate(moved, home)["scored"])
    (pictures / "a01.png").write_bytes(b"")
    shutil.rmtree(home / "captioned")
    with pytest.raises(UserError, match=r"#a01.png: this picture changed after it was measured"):
        curate(moved, home)
    assert read_catalogue(str(home / "scored")).equals(before)


def test_other_thresholds_work_on_stored_scores_alone(
    source: FolderSource, curate: Curate, finished: dict[str, str], tmp_path: Path
) -> None:
    """The pictures are gone, and still the filters decide anew."""
    gone = source.model_copy(update={"uri": str(tmp_path / "gone")})
    wide = T2ICuration(filters=Filters(min_side=1, max_aspect=100, min_entropy=0, min_sharpness=0))
    stages = ("filtered", "topics", "balanced")
    scored = {"scored": finished["scored"]}
    folders = curate(gone, tmp_path, wide, finished=scored, only=stages)
    reasons = {
        row["source"].rpartition("#")[2]: row["reason"]
        for row in read_catalogue(folders["filtered"]).to_pylist()
    }
    filtered = {name: reasons[name] for name in ("b4.png", "b5.png", "b6.png", "b7.png", "b8.png")}
    assert filtered == dict.fromkeys(("b4.png", "b5.png", "b7.png")) | dict.fromkeys(
        ("b6.png", "b8.png"), "border"
    )
    assert read_manifest(folders["balanced"]).counts.kept == sum(r is None for r in reasons.values())


def test_pictures_to_look_at(finished: dict[str, str]) -> None:
    names = {
        name: {p.stem for p in (Path(folder) / "pictures").glob("*.png")} for name, folder in finished.items()
    }
    assert names["scored"] == {"reasons", "scored"}
    assert {"funnel", "kept", "rejected-small", "rejected-near_duplicate"} <= names["filtered"]
    assert names["topics"] == names["balanced"] == {"topics"}
    assert names["captioned"] == {"captioned", "caption_lengths", "funnel"}


def test_scenes_go_through_with_their_truth(curate: Curate, tmp_path: Path) -> None:
    folders = curate(ScenesSource(count=30, shard_records=16), tmp_path / "home")
    rows = read_catalogue(folders["captioned"]).to_pylist()
    assert all(row["truth"] for row in rows)
    assert all(document.metadata["truth"] for document, _ in iter_documents(folders["captioned"]))


def test_a_drop_without_a_good_record(
    curate: Curate, curation: T2ICuration, encoder: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"")
    selection = Selection(min_aesthetic=1.0, min_similarity=0.9)
    every = {"embedding": Embedding(), "selection": selection, "balance": Balance(target="even")}
    source, wanted = FolderSource(uri=str(tmp_path / "in")), curation.model_copy(update=every)
    folders = curate(source, tmp_path / "home", wanted, encoder=encoder)
    assert read_manifest(folders["captioned"]).counts.total == 0
    assert read_catalogue(folders["captioned"])["reason"].to_pylist() == ["empty_file"]


def test_a_damaged_file_gives_the_records_before_its_damage(
    curate: Curate, encoder: str, tmp_path: Path
) -> None:
    """The damage is listed once, whoever reads the file again."""
    (tmp_path / "in").mkdir()
    pictures = [{"bytes": encode(photo(n)), "path": None} for n in range(20)]
    table = pa.table({"image": pictures, "caption": [f"a cat {n}" for n in range(20)]})
    write_damaged_parquet(table, tmp_path / "in" / "a.parquet", group_rows=16)
    source = ParquetSource(uri=str(tmp_path / "in"), image_column="image", caption_column="caption")
    wanted = T2ICuration(embedding=Embedding())
    folders = curate(source, tmp_path / "home", wanted, encoder=encoder)
    reasons = read_catalogue(folders["captioned"])["reason"].to_pylist()
    assert reasons == [*[None] * 16, *["not_parquet"] * 4]
    assert len(list(iter_documents(folders["captioned"]))) == 16
