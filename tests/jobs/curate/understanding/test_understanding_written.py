"""Pictures with questions and answers: tasks, text that is really read, answers of a real server."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from support import commit, curated_scene, publish_captioned

from infra.document import Document, ImageSegment, TextSegment
from infra.job import JobSpec, Resources
from infra.manifest import Output, read_manifest
from infra.reporter import SilentReporter
from jobs.curate.stage import read_catalogue
from jobs.curate.understanding import read, write
from jobs.curate.understanding.recognise import Recogniser
from jobs.curate.understanding.tasks import DESCRIBE, FoundText, choose_task
from jobs.curated import Media, iter_documents, tar_bytes
from jobs.images import decode
from jobs.pictures.style import font
from jobs.recipe.curation.understanding import TextRich
from jobs.recipe.vlm import SourceText
from jobs.scenes.truth import truth_of
from jobs.scenes.world import sample_scene
from jobs.specs.understanding import ReadTextSettings, WriteSettings

SETTINGS = WriteSettings(rewritten=0.4, knowledge=0.2, inverted=0.1, text_rich=None, vlm=SourceText())


def run(
    job: Any, asset: str, output: Path, settings: Any, inputs: dict[str, list[str]], workers: int = 1
) -> Path:
    spec = JobSpec(
        asset=asset,
        partition="t2i-0000",
        fingerprint="0" * 16,
        inputs=inputs,
        output=str(output),
        settings=settings,
        resources=Resources(workers=workers),
    )
    job.run(spec, SilentReporter())
    return output


def written(tmp_path: Path, captioned: str, name: str = "out", workers: int = 1, **change: Any) -> Path:
    settings = SETTINGS.model_copy(update=change)
    inputs = {"t2i/captioned": [captioned]}
    return run(write, "understanding/written", tmp_path / name, settings, inputs, workers)


def texts(document: Document) -> list[tuple[str, bool]]:
    return [(part.text, part.loss) for part in document.segments if isinstance(part, TextSegment)]


def sign(words: str) -> Image.Image:
    picture = Image.new("RGB", (420, 120), (250, 245, 230))
    ImageDraw.Draw(picture).text((20, 40), words, (30, 30, 120), font(30))
    return picture


@pytest.fixture
def captioned(tmp_path: Path) -> str:
    return publish_captioned(tmp_path / "captioned", {"000000": range(60), "000001": range(60, 120)})


def test_every_picture_has_its_fate_and_only_answers_are_learnt(tmp_path: Path, captioned: str) -> None:
    folder = written(tmp_path, captioned)
    rows = read_catalogue(str(folder)).to_pylist()
    assert len(rows) == 120
    documents = {document.sample_id: document for document, _ in iter_documents(str(folder))}
    kept = {row["sample_id"]: row for row in rows if row["status"] == "kept"}
    assert documents.keys() == kept.keys()
    parents = {d.sample_id: texts(d)[0][0] for d, _ in iter_documents(captioned)}
    for id_, row in kept.items():
        document = documents[id_]
        assert (document.segments[0].kind, document.segments[0].loss) == ("image", False)
        *asked, (answer, learnt) = texts(document)
        assert learnt
        assert answer == row["answer"]
        if row["task"] == "inverted":
            assert not asked
            assert answer == parents[row["parent"]]
        elif row["task"] == "rewritten":
            assert answer == parents[row["parent"]], "without a model the source's caption stays"
            assert asked[0] in [(words, False) for words in DESCRIBE]
        else:
            assert asked == [(row["question"], False)]
    reasons = Counter(row["reason"] for row in rows)
    assert reasons["not_chosen"] > 0
    assert read_manifest(str(folder)).metadata["vlm"]["asked"] > 0


def test_a_scene_answers_questions_of_knowledge_by_its_truth(tmp_path: Path) -> None:
    scenes = [curated_scene(place) for place in range(12)]
    silent = publish(tmp_path / "silent", scenes)
    share = {"rewritten": 0.0, "inverted": 0.0, "knowledge": 1.0}
    rows = read_catalogue(str(written(tmp_path, silent, "a", **share))).to_pylist()
    assert {row["reason"] for row in rows} == {"no_answer"}, "nobody knows anything of these pictures"
    told = [(with_truth(document, place), media) for place, (document, media) in enumerate(scenes)]
    folder = written(tmp_path, publish(tmp_path / "told", told), "b", **share)
    for row in read_catalogue(str(folder)).to_pylist():
        assert row["status"] == "kept"
        shapes = sample_scene(0, int(row["source"].split("#")[1])).shapes
        if row["question"] == "How many shapes are there?":
            assert row["answer"] == ["", "One.", "Two.", "Three.", "Four."][len(shapes)]
        else:
            assert row["question"] == f"What colour is the {shapes[0].kind}?"
            assert row["answer"].casefold() == f"{shapes[0].color}."


@given(st.integers(0, 2**64 - 1), st.integers(0, 5))
def test_a_task_depends_on_the_picture_and_the_seed_alone(sample_id: int, seed: int) -> None:
    task = choose_task(sample_id, None, SETTINGS, seed)
    assert task == choose_task(sample_id, None, SETTINGS, seed)
    everything = SETTINGS.model_copy(update={"rewritten": 0.7})
    if task is not None:
        assert choose_task(sample_id, None, everything, seed) == task, "a larger share only adds"
    assert choose_task(sample_id, None, everything, seed) is not None


def test_tasks_have_their_shares() -> None:
    tasks = Counter(choose_task(n * 7919, None, SETTINGS, 0) for n in range(20_000))
    for name in ("rewritten", "knowledge", "inverted"):
        assert abs(tasks[name] / 20_000 - getattr(SETTINGS, name)) < 0.02


def test_pictures_with_enough_text_are_asked_about_it_and_others_are_not() -> None:
    settings = SETTINGS.model_copy(update={"text_rich": TextRich()})
    assert choose_task(1, FoundText("OPEN DAILY", 9, 0.95), settings, 0) == "text_rich"
    assert choose_task(1, FoundText("OPEN DAILY", 9, 0.5), settings, 0) != "text_rich"
    assert choose_task(1, FoundText("OPEN", 4, 0.95), settings, 0) != "text_rich"
    assert choose_task(1, FoundText("OPEN DAILY", 9, 0.95), SETTINGS, 0) != "text_rich"


def test_text_is_really_read() -> None:
    recognise = Recogniser()
    found = recognise(sign("Open daily 9-17"))
    assert found.text.casefold().replace(" ", "") == "opendaily9-17"
    assert found.confidence > 0.9
    assert 0 < found.area < 1
    assert recognise(Image.new("RGB", (300, 120), "white")).characters == 0


def test_what_was_read_becomes_the_answer(tmp_path: Path) -> None:
    captioned = publish(tmp_path / "in", [*map(curated_scene, range(3)), a_sign("Fresh bread 24")])
    inputs = {"t2i/captioned": [captioned]}
    found = run(read, "understanding/read", tmp_path / "read", ReadTextSettings(), inputs)
    assert read_manifest(str(found)).counts.kept == 4
    settings = SETTINGS.model_copy(update={"text_rich": TextRich()})
    inputs["understanding/read"] = [str(found)]
    folder = run(write, "understanding/written", tmp_path / "out", settings, inputs)
    (row,) = [r for r in read_catalogue(str(folder)).to_pylist() if r["task"] == "text_rich"]
    assert "bread" in row["answer"].casefold()
    (picture,) = [media for d, media in iter_documents(str(folder)) if d.metadata["task"] == "text_rich"]
    assert decode(next(iter(picture.values()))).size == (420, 120), "the original bytes"


def test_workers_change_nothing_and_finished_tars_are_not_asked_again(tmp_path: Path, captioned: str) -> None:
    one = written(tmp_path, captioned, "one", workers=1)
    two = written(tmp_path, captioned, "two", workers=2)
    assert contents(one) == contents(two)
    (one / "manifest.parquet").unlink()
    (Path(captioned) / "data" / "000001.tar").write_bytes(b"")
    assert contents(written(tmp_path, captioned, "one")) == contents(one)


def publish(folder: Path, documents: list[tuple[Document, Media]]) -> str:
    """A `t2i/captioned` of documents, in one tar."""
    entry = Output(str(folder)).publish("data/000000.tar", tar_bytes(documents), len(documents))
    return commit(folder, "t2i/captioned", [entry], len(documents))


def with_truth(document: Document, place: int) -> Document:
    truth = truth_of(sample_scene(0, place)).to_dict()
    return document.model_copy(update={"metadata": document.metadata | {"truth": truth}})


def a_sign(words: str) -> tuple[Document, Media]:
    data = png(sign(words))
    picture = ImageSegment(
        member="00000000000000ff.0.png", width=420, height=120, sha256=hashlib.sha256(data).hexdigest()
    )
    document = Document(
        sample_id=255,
        family="t2i",
        segments=(TextSegment(text="a sign"), picture),
        metadata={"source": "signs#0", "topic": "other", "truth": None},
    )
    return document, {picture.member: data}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "data").iterdir())}


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
