"""All stages over 45 drawn albums whose truth is known: what is paired, and what changes nothing."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from curate.subject.measures import rates, show
from curate.subject.plan import steps
from PIL import Image
from vlm.server import Seen, Status, VlmServer

from infra.catalogue import Counts
from infra.document import ImageSegment, TextSegment, format_id
from infra.errors import UserError
from infra.manifest import Output, Receipt, read_manifest, read_table
from jobs.curate.parts import UNIT_BYTES
from jobs.curate.parts import plan_units as plan_parts
from jobs.curate.stage import kept_rows, read_catalogue
from jobs.curate.subject.embed import EmbedWorker
from jobs.curate.subject.judge import ConfirmWorker
from jobs.curate.subject.score import score_shard
from jobs.curate.subject.units import plan_units
from jobs.curate.t2i.embeddings import read_embeddings
from jobs.curated import iter_documents
from jobs.recipe.sources import FolderSource, SceneAlbumsSource
from jobs.scenes.albums import album_scene
from jobs.scenes.find import find_shapes
from jobs.sources.shards import read_shards
from jobs.units import Unit

Curate = Callable[..., dict[str, str]]
ReadAll = Callable[[str], dict[str, bytes]]
Folders = dict[str, str]

ALBUMS, PICTURES = 45, 5
SOURCE = SceneAlbumsSource(count=ALBUMS * PICTURES, album_pictures=PICTURES, shard_records=80)


@pytest.fixture(scope="module")
def curated(curate: Curate, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The albums, curated by two workers; every pair of an album is a candidate."""
    return curate(SOURCE, tmp_path_factory.mktemp("albums"), workers=2)


def truth_of(pairs: list[dict[str, Any]]) -> dict[str, str]:
    """Which pairs share the subject, by the drawn scenes themselves."""
    return {row["source"]: "kept" if _share(row["reference"], row["target"]) else "rejected" for row in pairs}


def _share(*sources: str) -> bool:
    looks = []
    for source in sources:
        scene, _ = album_scene(0, int(source.rpartition("#")[2]), PICTURES)
        looks.append({(shape.kind, shape.color, shape.size) for shape in scene.shapes})
    return bool(looks[0] & looks[1])


def outcomes(folder: str) -> dict[str, str]:
    own = [row for row in read_catalogue(folder).to_pylist() if row["stage"] == "confirmed"]
    return {row["source"]: row["status"] for row in own}


def test_confirmation_by_the_source_finds_the_pairs_that_share_a_subject(
    curated: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = kept_rows(read_catalogue(curated["candidates"])).to_pylist()
    truth, found = truth_of(rows), outcomes(curated["confirmed"])
    measured = {outcome: rates(truth, found, outcome) for outcome in ("kept", "rejected")}
    show(capsys, "confirmed by the source", measured)
    assert all(one.good for one in measured.values())
    # Who confirms everything is found out: a third of the pairs share nothing.
    assert not rates(truth, dict.fromkeys(truth, "kept"), "kept").good


def look(seen: Seen) -> dict[str, Any]:
    """What somebody answers who looks at both pictures."""
    first, second = (find_shapes(Image.open(io.BytesIO(picture))).regions for picture in seen.pictures)
    shared = {(r.kind, r.color, r.size) for r in first} & {(r.kind, r.color, r.size) for r in second}
    if not shared:
        return {"shared": False, "kind": "none", "subject": ""}
    kind, color, size = min(shared, key=str)
    return {"shared": True, "kind": "object", "subject": f"a {size} {color} {kind}"}


def some_pairs(curated: Folders, every: int) -> list[dict[str, Any]]:
    """Each so many of the candidates, of all albums."""
    return kept_rows(read_catalogue(curated["candidates"])).to_pylist()[::every]


def confirm_here(
    curated: Folders, output: Path, every: int, cache: str | None = None, **changes: Any
) -> list[Receipt]:
    """The work of `confirmed` in this process."""
    _, _, settings = steps(SOURCE, "", changes)["confirmed"]
    pairs = some_pairs(curated, every)
    pictures = read_catalogue(curated["grouped"])
    units = plan_units(pairs, pictures, read_shards(curated["candidates"]), UNIT_BYTES)
    worker = ConfirmWorker(Output(str(output)), settings, cache)
    return [worker(unit) for unit in units]


def test_confirmation_by_a_model_that_looks_at_the_pictures(
    curated: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = str(tmp_path / "cache")
    with VlmServer(look) as server:
        receipts = confirm_here(curated, tmp_path / "once", 2, cache, vlm=server.settings())
        asked = len(server.seen)
        again = confirm_here(curated, tmp_path / "again", 2, cache, vlm=server.settings())
        assert len(server.seen) == asked, "answers of the cache are not asked for again"
    assert [receipt.files for receipt in again] == [receipt.files for receipt in receipts]
    rows = some_pairs(curated, 2)
    assert asked == len(rows)
    assert len({row["group"] for row in rows}) == ALBUMS
    paths = [tmp_path / "once" / receipt.files[0].path for receipt in receipts]
    found = {row["source"]: row["status"] for path in paths for row in read_table(str(path)).to_pylist()}
    measured = {outcome: rates(truth_of(rows), found, outcome) for outcome in ("kept", "rejected")}
    show(capsys, "confirmed by a model", measured)
    assert all(one.good for one in measured.values())


def test_what_no_model_answers_is_rejected_or_errored(curated: Folders, tmp_path: Path) -> None:
    wrong = [
        Status(503),
        "no",
        {"shared": True, "kind": "object", "subject": " "},
        {"shared": True, "kind": "none", "subject": "a dog"},
    ]

    def answer(seen: Seen) -> Any:
        return wrong[int(hashlib.sha256(b"".join(seen.pictures)).hexdigest(), 16) % len(wrong)]

    with VlmServer(answer) as server:
        receipts = confirm_here(curated, tmp_path, 6, vlm=server.settings(attempts=1))
    counts = sum((receipt.counts for receipt in receipts), Counts())
    assert counts.total == len(some_pairs(curated, 6))
    assert (counts.kept, [file for r in receipts for file in r.files if file.path.endswith(".tar")]) == (
        0,
        [],
    )
    assert counts.errored > 0
    assert set(counts.rejected) == {"vlm_malformed", "subject_unnamed", "no_shared_subject"}


def test_similarities_are_those_of_the_embeddings(curated: Folders) -> None:
    rows = read_catalogue(curated["candidates"]).to_pylist()
    sides = {row[side] for row in rows for side in ("reference", "target")}
    sources = sorted(sides)
    vectors = read_embeddings(curated["embedded"], sources).astype(np.float64)
    place = dict(zip(sources, vectors, strict=True))
    for row in rows:
        one, other = place[row["reference"]], place[row["target"]]
        cosine = one @ other / np.sqrt((one @ one) * (other @ other))
        assert row["similarity"] == pytest.approx(cosine, abs=1e-6)
    groups = Counter(kept_rows(read_catalogue(curated["grouped"]))["group"].to_pylist())
    assert len(rows) == sum(n * (n - 1) // 2 for n in groups.values())


def test_every_stage_conserves_what_it_works_on(curated: Folders) -> None:
    counts = {name: read_manifest(curated[name]).counts for name in curated if name != "raw"}
    assert counts["scored"].total == ALBUMS * PICTURES
    assert counts["embedded"].total == counts["grouped"].total == counts["scored"].kept
    assert counts["confirmed"].total == counts["candidates"].kept
    final = read_catalogue(curated["confirmed"])
    assert len(final) == counts["candidates"].total
    assert final["source"].to_pylist() == sorted(final["source"].to_pylist())
    assert set(final["stage"].to_pylist()) == {"confirmed"}


def test_documents_show_the_reference_and_ask_for_the_target(curated: Folders) -> None:
    own = kept_rows(read_catalogue(curated["confirmed"]))
    pictures = {row["source"]: row for row in read_catalogue(curated["grouped"]).to_pylist()}
    rows = {row["sample_id"]: row for row in own.to_pylist()}
    documents = list(iter_documents(curated["confirmed"]))
    assert {document.sample_id for document, _ in documents} == rows.keys()
    for document, media in documents:
        row = rows[document.sample_id]
        reference, text, target = document.segments
        assert isinstance(reference, ImageSegment)
        assert isinstance(text, TextSegment)
        assert isinstance(target, ImageSegment)
        assert (reference.loss, text.loss, target.loss) == (False, False, True)
        for segment, side in ((reference, "reference"), (target, "target")):
            picture = pictures[row[side]]
            assert hashlib.sha256(media[segment.member]).hexdigest() == segment.sha256 == picture["sha256"]
            assert (segment.width, segment.height) == (picture["width"], picture["height"])
        assert pictures[row["target"]]["caption"] in text.text
        assert row["subject"].partition(" ")[2] in text.text
        assert document.metadata == {
            "source": row["source"],
            "subject": row["subject"],
            "subject_type": "object",
            "group": row["group"],
            "parents": [format_id(pictures[row[side]]["sample_id"]) for side in ("reference", "target")],
        }


def test_no_two_pictures_are_a_pair_twice(curated: Folders) -> None:
    rows = kept_rows(read_catalogue(curated["confirmed"])).to_pylist()
    pairs = Counter(frozenset({row["reference"], row["target"]}) for row in rows)
    assert set(pairs.values()) == {1}


def test_workers_and_kills_change_no_byte(
    curated: Folders, curate: Curate, read_all: ReadAll, tmp_path: Path
) -> None:
    whole = read_all(curated["confirmed"])
    home = tmp_path / "home"
    shutil.copytree(Path(curated["raw"]).parent, home)
    for path in ("manifest.parquet", "data/catalogue.parquet", "units/000001.json", "data/000001.tar"):
        (home / "confirmed" / path).unlink()
    assert read_all(curate(SOURCE, home, workers=1)["confirmed"]) == whole


def test_pictures_are_scored_and_embedded_alike_in_any_process_and_order(
    curated: Folders, encoder: str, tmp_path: Path
) -> None:
    plan = steps(SOURCE, encoder, {})
    output = Output(str(tmp_path))
    embed = EmbedWorker(output, SOURCE, encoder)
    kept = kept_rows(read_catalogue(curated["scored"])).to_pylist()
    parts = {unit.name: unit for unit in plan_parts(kept, read_shards(curated["scored"]))}
    for shard in reversed(read_shards(curated["raw"])):
        here = {
            "scored": score_shard(Unit(shard.name, shard), output, plan["scored"][2]),
            "embedded": embed(parts[shard.name]),
        }
        for name, receipt in here.items():
            (entry,) = receipt.files
            assert entry in read_manifest(curated[name]).files


def test_a_picture_that_changed_since_it_was_scored_is_one_clear_line(
    curated: Folders, tmp_path: Path
) -> None:
    # The same places drawn by another seed: other pictures than were scored.
    with pytest.raises(UserError, match="this picture changed"):
        confirm_here(curated, tmp_path, 1, source=SOURCE.model_copy(update={"seed": 1}))


def test_a_drop_without_a_picture(curate: Curate, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.png").write_bytes(b"")
    folders = curate(FolderSource(uri=str(tmp_path / "in")), tmp_path / "home")
    assert read_catalogue(folders["scored"])["reason"].to_pylist() == ["empty_file"]
    for name in ("embedded", "grouped", "candidates", "confirmed"):
        assert read_manifest(folders[name]).counts == Counts()
        assert len(read_catalogue(folders[name])) == 0


def test_pictures_to_look_at(curated: Folders) -> None:
    names = {
        name: {p.stem for p in (Path(folder) / "pictures").glob("*.png")} for name, folder in curated.items()
    }
    assert {"kept", "groups"} <= names["grouped"]
    assert {"kept", "similarity"} <= names["candidates"]
    assert names["confirmed"] == {"kept-object", "rejected-no_shared_subject", "types", "funnel"}
    sizes = [p.stat().st_size for folder in curated.values() for p in Path(folder).glob("pictures/*.png")]
    assert max(sizes) < 100_000
