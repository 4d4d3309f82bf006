"""The whole stage over two tars: nothing is lost, checks hold and can fail, workers change no byte."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from curated_pictures import cutouts, photo, photos, picture, publish, scene, settings
from PIL import Image
from small_project import small_recipe

from assets.checks import Published
from assets.curation.synthetic import assets
from assets.job_asset import JobAsset
from infra.document import ImageSegment, TextSegment, format_id
from infra.manifest import Manifest, Output, read_manifest
from infra.storage import list_files
from jobs.curate.stage import CATALOGUE, read_catalogue
from jobs.curated import iter_documents, tar_bytes
from jobs.images import decode
from jobs.recipe import Recipe
from jobs.recipe.curation.edit import TASKS, EditCuration
from jobs.recipe.curation.synthetic import SyntheticEdits
from jobs.scenes.truth import Truth
from jobs.scenes.verify import verify

TOLD = settings(per_picture=1.5, max_side=256)


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tars: scenes with cut-outs and photos, and few scenes with one cut-out that is too small."""
    small = picture("folder#small", "A pea.", Image.open(io.BytesIO(tiny())))
    first = [*map(scene, range(14)), *cutouts(7), *photos(6)]
    return publish(tmp_path_factory.mktemp("captioned"), [first, [*map(scene, range(100, 106)), small]])


def tiny() -> bytes:
    image = Image.new("RGBA", (64, 64))
    image.paste("green", (20, 20, 40, 40))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def made(captioned: str, make, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Manifest]:
    return make(captioned, tmp_path_factory.mktemp("made"), TOLD)


def published(folder: str, captioned: str) -> Published:
    return Published(folder, read_manifest(folder), {"t2i/captioned": [captioned]}, TOLD)


def recipe_with(edit: EditCuration | None) -> Recipe:
    recipe = small_recipe()
    return recipe.model_copy(update={"curation": recipe.curation.model_copy(update={"edit": edit})})


def stage() -> JobAsset:
    (asset,) = assets(recipe_with(EditCuration(synthetic=SyntheticEdits(per_picture=1.5))))
    return asset


def test_the_asset_is_there_only_where_it_is_wanted() -> None:
    assert assets(recipe_with(None)) == assets(recipe_with(EditCuration())) == []
    assert stage().inputs == ("t2i/captioned",)
    assert (stage().family, stage().partitioning) == ("t2i", "drop")


def test_every_check_holds(made: tuple[str, Manifest], captioned: str) -> None:
    output = published(made[0], captioned)
    verdicts = {check.name: check.run(output) for check in stage().checks}
    assert {name: verdict.why for name, verdict in verdicts.items() if not verdict.passed} == {}


def test_every_planned_edit_has_a_row(made: tuple[str, Manifest]) -> None:
    folder, manifest = made
    rows = read_catalogue(folder).to_pylist()
    assert manifest.counts.total == len(rows)
    assert 1.2 * 34 <= len(rows) <= 1.8 * 34
    assert manifest.counts.kept > 0.85 * len(rows)
    assert {row["reason"] for row in rows if row["status"] == "rejected"} == set(manifest.counts.rejected)
    assert manifest.metadata["makers"].keys() == {"scene", "cutout", "picture"}
    assert manifest.metadata["tasks"].keys() == set(TASKS)


def test_tasks_are_in_even_shares(made: tuple[str, Manifest]) -> None:
    planned = Counter(row["task"] for row in read_catalogue(made[0]).to_pylist())
    assert max(planned.values()) - min(planned.values()) <= 3


def test_documents_teach_the_picture_after(made: tuple[str, Manifest], captioned: str) -> None:
    parents = {format_id(document.sample_id) for document, _ in iter_documents(captioned)}
    for document, media in iter_documents(made[0]):
        before, text, after = document.segments
        assert isinstance(before, ImageSegment)
        assert isinstance(text, TextSegment)
        assert isinstance(after, ImageSegment)
        assert (before.loss, text.loss, after.loss) == (False, False, True)
        assert decode(media[before.member]).size == decode(media[after.member]).size
        assert set(document.metadata["parents"]) <= parents
        assert document.metadata["subset"] == "synthetic"
        assert document.metadata["source"].rpartition("#edit-")[0]


def test_edits_of_scenes_are_true(made: tuple[str, Manifest], captioned: str) -> None:
    originals = {data for _, media in iter_documents(captioned) for data in media.values()}
    number = 0
    for document, media in iter_documents(made[0]):
        if document.metadata["maker"] != "scene":
            continue
        number += 1
        before, after = (media[s.member] for s in document.segments if isinstance(s, ImageSegment))
        truth = document.metadata["truth"]
        assert before in originals
        assert truth["task"] == document.metadata["task"]
        assert verify(decode(before), Truth.model_validate(truth["before"])).passed
        assert verify(decode(after), Truth.model_validate(truth["after"])).passed
        assert not verify(decode(before), Truth.model_validate(truth["after"])).passed
    assert number > 20


def test_workers_change_no_byte(made: tuple[str, Manifest], captioned: str, make, tmp_path: Path) -> None:
    alone, manifest = make(captioned, tmp_path / "alone", TOLD, workers=1)
    assert manifest.hash == made[1].hash
    assert _files(alone) == _files(made[0])


def _files(folder: str) -> dict[str, bytes]:
    return {file.uri.removeprefix(folder): Path(file.uri).read_bytes() for file in list_files(folder)}


def test_people_see_each_task(made: tuple[str, Manifest]) -> None:
    pictures = Output(made[0]).pictures()
    assert {"tasks", *(f"task-{task}" for task in TASKS)} <= pictures.keys()


def spoil(made: tuple[str, Manifest], folder: Path, how: str) -> str:
    """The output again, with one thing wrong in it."""
    documents = list(iter_documents(made[0]))
    document, media = documents[0]
    before, _, after = (s.member if isinstance(s, ImageSegment) else "" for s in document.segments)
    if how == "equal":
        documents[0] = document, {**media, after: media[before]}
    if how == "size":
        buffer = io.BytesIO()
        photo(1, 33, 44).save(buffer, "PNG")
        documents[0] = document, {**media, after: buffer.getvalue()}
    output = Output(str(folder))
    files = [output.publish("data/000000.tar", tar_bytes(documents), len(documents))]
    catalogue = read_catalogue(made[0])
    if how == "lost":
        catalogue = catalogue.slice(1)
    files.append(output.publish_table(CATALOGUE, catalogue))
    output.commit(made[1].model_copy(update={"files": tuple(files)}))
    return str(folder)


@pytest.mark.parametrize(
    ("how", "broken"),
    [
        ("fine", set()),
        ("equal", {"pictures_change"}),
        ("size", {"pictures_change"}),
        ("lost", {"conservation", "tasks_recorded"}),
    ],
)
def test_checks_find_what_is_wrong(
    how: str, broken: set[str], made: tuple[str, Manifest], captioned: str, tmp_path: Path
) -> None:
    output = published(spoil(made, tmp_path, how), captioned)
    found = {check.name for check in stage().checks if not check.run(output).passed}
    assert broken <= found
    assert how != "fine" or not found


def test_a_drop_without_pictures_makes_nothing(make, tmp_path: Path) -> None:
    _, manifest = make(publish(tmp_path / "captioned", []), tmp_path / "made", TOLD)
    assert manifest.counts.total == 0
    assert json.dumps(manifest.metadata) == '{"tasks": {}, "makers": {}}'
