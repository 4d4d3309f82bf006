"""Dialogues in LLaVA-OneVision's schema, good ones and bad ones, through both stages."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import write_damaged_parquet
from PIL import Image

from infra.errors import UserError
from infra.job import JobSpec, Resources
from infra.manifest import Output
from infra.reporter import SilentReporter
from jobs.curate.stage import read_catalogue
from jobs.curate.understanding import check, dialogues
from jobs.curated import iter_documents
from jobs.recipe.curation.understanding import Dialogues
from jobs.recipe.sources import LlavaOneVisionSource
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs.understanding import CheckDialoguesSettings, DialoguesSettings

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
        ("data_source", pa.string()),
    ]
)

LIMITS = Dialogues(max_bytes=100_000, max_pixels=1_000_000, max_characters=500)


def png(side: int = 40, colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def row(*turns: tuple[str, str], image: bytes | None = None, source: str = "vqa") -> dict[str, Any]:
    picture = None if image is None else {"bytes": image, "path": "x.png"}
    said = [{"from": who, "value": text} for who, text in turns]
    return {"id": "1", "image": picture, "conversations": said, "data_source": source}


GOOD = [
    row(("human", "<image>\nWhat colour is it?"), ("gpt", "Red."), image=png()),
    row(("human", "What is it?"), ("gpt", "A square."), ("human", "Sure?"), ("gpt", "Yes."), image=png()),
    row(("human", "Two and two?"), ("gpt", "Four."), source="text"),
    row(("human", "Look at <image> and tell me."), ("gpt", "It is blue."), image=png(colour="blue")),
]

BAD = {
    "no_dialogue": [
        row(("gpt", "I begin.")),
        row(("human", "And then?")),
        row(("human", "a"), ("human", "b"), ("gpt", "c")),
        row(("human", "a"), ("gpt", " ")),
        row(("human", "a"), ("gpt", "<image> here"), image=png()),
        row(("robot", "a"), ("gpt", "b")),
        row(),
    ],
    "image_marks": [
        row(("human", "<image> and <image>"), ("gpt", "b"), image=png()),
        row(("human", "<image> where?"), ("gpt", "b")),
    ],
    "truncated": [row(("human", "a"), ("gpt", "b"), image=png()[:-30])],
    "not_an_image": [row(("human", "a"), ("gpt", "b"), image=b"hello")],
    "too_many_bytes": [row(("human", "a"), ("gpt", "b"), image=b"x" * 200_000)],
    "small": [row(("human", "what"), ("gpt", "small"), image=png(8))],
    "long": [row(("human", "a"), ("gpt", "b" * 1000))],
    "exact_duplicate": [GOOD[0]],
}


@pytest.fixture
def source(tmp_path: Path) -> LlavaOneVisionSource:
    rows = [*GOOD, *(one for rows in BAD.values() for one in rows)]
    (tmp_path / "in").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "in" / "a.parquet")
    (tmp_path / "in" / "b.parquet").write_bytes(b"no parquet")
    return LlavaOneVisionSource(uri=str(tmp_path / "in"))


def curate(folder: Path, source: LlavaOneVisionSource, workers: int = 1) -> Path:
    publish_shards(Output(str(folder / "raw")), list_shards("understanding", source))
    limits = LIMITS.model_dump(include={"max_bytes", "max_pixels"})
    checked = CheckDialoguesSettings(source=source, **limits)
    inputs = {"raw/understanding": [str(folder / "raw")]}
    _run(check, "checked", folder, inputs, checked, workers)
    inputs = {"understanding/checked": [str(folder / "checked")]}
    settings = DialoguesSettings(source=source, dialogues=LIMITS)
    return _run(dialogues, "dialogues", folder, inputs, settings, workers)


def _run(
    job: Any, name: str, folder: Path, inputs: dict[str, list[str]], settings: Any, workers: int
) -> Path:
    spec = JobSpec(
        asset=f"understanding/{name}",
        partition="understanding-0000",
        fingerprint="0" * 16,
        inputs=inputs,
        output=str(folder / name),
        settings=settings,
        resources=Resources(workers=workers),
    )
    job.run(spec, SilentReporter())
    return folder / name


def test_every_dialogue_has_its_fate(tmp_path: Path, source: LlavaOneVisionSource) -> None:
    folder = curate(tmp_path / "one", source)
    catalogue = read_catalogue(str(folder))
    expected = Counter({reason: len(rows) for reason, rows in BAD.items()})
    expected["not_parquet"] = 1
    assert Counter(r for r in catalogue["reason"].to_pylist() if r) == expected
    assert catalogue["status"].to_pylist().count("kept") == len(GOOD)
    other = curate(tmp_path / "two", source, workers=2)
    tars = [(f / "data" / "000000.tar").read_bytes() for f in (folder, other)]
    assert tars[0] == tars[1]


def test_pictures_stand_where_their_marks_are_and_answers_are_learnt(
    tmp_path: Path, source: LlavaOneVisionSource
) -> None:
    folder = curate(tmp_path, source)
    found = {}
    for document, media in iter_documents(str(folder)):
        parts = [
            "<picture>" if part.kind == "image" else (part.text, part.loss) for part in document.segments
        ]
        found[document.metadata["source"].rsplit("#")[1]] = parts
        assert all(data in (png(), png(colour="blue")) for data in media.values())
    assert found["000000000"] == ["<picture>", ("What colour is it?", False), ("Red.", True)]
    assert found["000000001"][0] == "<picture>", "a picture without a mark comes first"
    assert found["000000001"][3:] == [("Sure?", False), ("Yes.", True)]
    assert found["000000002"] == [("Two and two?", False), ("Four.", True)]
    assert found["000000003"][:3] == [("Look at", False), "<picture>", ("and tell me.", False)]


def test_a_table_of_another_kind_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "in" / "a.parquet")
    with pytest.raises(UserError, match=r"no column 'image'.*columns: text"):
        curate(tmp_path, LlavaOneVisionSource(uri=str(tmp_path / "in")))


def test_a_damaged_table_gives_the_dialogues_before_its_damage(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = [row(("human", f"What is {n}?"), ("gpt", f"It is {n}."), image=png()) for n in range(20)]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    write_damaged_parquet(
        table.select(["image", "conversations", "data_source"]), tmp_path / "in" / "a.parquet", 16
    )
    folder = curate(tmp_path, LlavaOneVisionSource(uri=str(tmp_path / "in")))
    assert read_catalogue(str(folder))["reason"].to_pylist() == [*[None] * 16, *["not_parquet"] * 4]
    assert len(list(iter_documents(str(folder)))) == 16
