"""Captions by a model: asked over HTTP, judged like any caption, and every record accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from curate.t2i.hostile import encode, photo
from vlm.server import Answer, Message, Seen, Status, VlmServer

from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.curate.stage import read_catalogue
from jobs.curated import iter_documents
from jobs.images import decode
from jobs.recipe import Captions, FolderSource, T2ICuration
from jobs.recipe.vlm import SourceText

CURATION = T2ICuration(captions=Captions(by="vlm", max_characters=60))
NAMES = ["answered", "refused", "malformed", "unreachable", "long", "unclean"]
SOURCE_CAPTION = "IMG 4711 a thing"


def write(folder: Path) -> FolderSource:
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        (folder / f"{name}.png").write_bytes(encode(photo(seed)))
        (folder / f"{name}.txt").write_text(f"{SOURCE_CAPTION} {name}")
    (folder / "wordless.png").write_bytes(encode(photo(90)))
    return FolderSource(uri=str(folder))


def answer(seen: Seen) -> Answer:
    """By the name that the source's caption ends in."""
    kind = next((name for name in NAMES if f"{SOURCE_CAPTION} {name}" in seen.text), "wordless")
    answers: dict[str, Answer] = {
        "answered": {"caption": "A blurred pattern of many colours."},
        "refused": Message(refusal="I will not describe this."),
        "malformed": "a picture",
        "unreachable": Status(503),
        "long": {"caption": "x" * 61},
        "unclean": {"caption": "a\tpattern \n of cafe\u0301 colours\u0007"},
        "wordless": {"caption": "A pattern that came without words."},
    }
    return answers[kind]


def fates(folder: str) -> dict[str, tuple[str, str | None, str | None]]:
    rows = read_catalogue(folder).to_pylist()
    return {Path(row["source"]).name.rpartition("#")[2][:-4]: _fate(row) for row in rows}


def _fate(row: dict[str, Any]) -> tuple[str, str | None, str | None]:
    return row["status"], row["reason"], row["text"]


def test_captions_are_the_models_or_have_a_reason(
    curate: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    source = write(tmp_path / "pictures")
    with VlmServer(answer) as server:
        settings = server.settings(attempts=2, input_price=1.0)
        folders = curate(source, tmp_path / "home", CURATION, vlm=settings)
        seen = list(server.seen)
    assert fates(folders["captioned"]) == {
        "answered": ("kept", None, "A blurred pattern of many colours."),
        "unclean": ("kept", None, "a pattern of caf\u00e9 colours"),
        "wordless": ("kept", None, "A pattern that came without words."),
        "refused": ("rejected", "vlm_refused", None),
        "malformed": ("rejected", "vlm_malformed", None),
        "long": ("rejected", "caption_long", None),
        "unreachable": ("errored", "vlm_unreachable", None),
    }
    manifest = read_manifest(folders["captioned"])
    assert manifest.counts.describe() == "7 in = 3 kept + 3 rejected + 1 errored"
    spent = manifest.metadata["vlm"]
    assert (spent["asked"], spent["answered"]) == (7, 4)
    assert (spent["refused"], spent["malformed"], spent["unreachable"]) == (1, 1, 1)
    assert spent["prompt_tokens"] > 0
    assert spent["cost"] > 0
    assert {decode(picture).size for question in seen for picture in question.pictures} == {(96, 80)}
    assert all(len(question.pictures) == 1 for question in seen)
    documents = {document.segments[0].text for document, _ in iter_documents(folders["captioned"])}
    assert documents == {fate[2] for fate in fates(folders["captioned"]).values() if fate[0] == "kept"}


def test_the_source_answers_where_no_model_is_named(
    curate: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    source = write(tmp_path / "pictures")
    folders = curate(source, tmp_path / "home", CURATION, vlm=SourceText())
    found = fates(folders["captioned"])
    assert found.pop("wordless") == ("rejected", "no_caption", None)
    assert found == {name: ("kept", None, f"{SOURCE_CAPTION} {name}") for name in NAMES}


def describe(curate: Callable[..., dict[str, str]], source: FolderSource, home: Path, **more: Any) -> str:
    """Caption a source by a model; what comes before is made once."""
    before = {name: str(home.parent / "before" / name) for name in BEFORE}
    if not (home.parent / "before").exists():
        before = curate(source, home.parent / "before", CURATION, only=BEFORE)
    before |= {"raw/t2i": str(home.parent / "before" / "raw")}
    return curate(source, home, CURATION, finished=before, only=["captioned"], workers=1, **more)["captioned"]


BEFORE = ["scored", "filtered", "topics", "balanced"]


def photographs(folder: Path, number: int) -> FolderSource:
    """Pictures in units of two."""
    folder.mkdir()
    for seed in range(number):
        (folder / f"{seed}.png").write_bytes(encode(photo(seed)))
    return FolderSource(uri=str(folder), shard_records=2)


@pytest.mark.chaos
def test_a_run_that_ended_in_the_middle_goes_on_to_the_same_bytes(
    curate: Callable[..., dict[str, str]], read_all: Callable[[str], dict[str, bytes]], tmp_path: Path
) -> None:
    """What each answer took is kept with it, so that the figures are the same, too."""
    source, asked = photographs(tmp_path / "pictures", 8), 0

    def until_the_account_is_empty(seen: Seen) -> Answer:
        nonlocal asked
        asked += 1
        return Status(402) if asked == 6 else {"caption": "A blurred pattern of many colours."}

    with VlmServer(until_the_account_is_empty) as server:
        settings = server.settings(input_price=1.0, concurrency=1)
        ended, cache = tmp_path / "ended", str(tmp_path / "cache")
        with pytest.raises(UserError, match="nothing left"):
            describe(curate, source, ended, vlm=settings, cache=cache)
        assert 0 < len(list((ended / "captioned" / "units").iterdir())) < 4
        folder = describe(curate, source, ended, vlm=settings, cache=cache)
        whole = describe(curate, source, tmp_path / "whole", vlm=settings)
    assert read_all(folder) == read_all(whole)
    assert read_manifest(folder).metadata["vlm"]["prompt_tokens"] == 800


def test_a_unit_that_reached_nobody_has_no_receipt_and_another_round_asks_the_errored_alone(
    curate: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    source = photographs(tmp_path / "pictures", 4)
    asked: list[bytes] = []
    lost: set[bytes] = set()

    def answer(seen: Seen) -> Answer:
        asked.extend(seen.pictures)
        return Status(503) if lost & {*seen.pictures} else {"caption": "A blurred pattern of many colours."}

    def run(name: str, **changes: Any) -> str:
        wanted = settings.model_copy(update=changes)
        return describe(curate, source, tmp_path / name, vlm=wanted, cache=str(tmp_path / "cache"))

    with VlmServer(answer) as server:
        settings = server.settings(attempts=1)
        lost |= {encode(photo(seed)) for seed in range(4)}
        with pytest.raises(UserError, match=r"none of 2 questions was answered.*run again"):
            run("first")
        assert not (tmp_path / "first" / "captioned" / "units").exists()
        lost = {asked[0]}
        assert read_manifest(run("first")).counts.errored == 1
        lost, before = set(), len(asked)
        assert read_manifest(run("second", round=1)).counts.kept == 4
    assert len(asked) == before + 1
