"""The extraction job: the same bytes whatever the workers or kills, and no document lost."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from infra.catalogue import Counts
from infra.document import format_id
from infra.errors import UserError
from infra.manifest import Manifest, Output, read_manifest, read_table
from jobs.attempts import Span
from jobs.extract.plan import Plan, iter_span, tar_units
from jobs.extract.unit import load_encoder
from jobs.readers import DocumentReader, read_on
from jobs.recipe import Level
from jobs.schemas import TOKENS_SCHEMA, DocumentTokens, read_provenance, read_schedules
from tests.jobs.extract.curated import SETTINGS, document, extract, of_family, publish
from tests.jobs.support import publish_captioned, publish_tokenizer

UNITS = {"a": range(5), "b": range(5, 9), "c": range(9, 14)}
FAMILIES = ("t2i", "understanding", "dialogue", "edit", "subject", "video")


def extracted(folder: Path) -> Iterator[DocumentTokens]:
    """The documents of a finished extraction."""
    return (document for _, document in read_on(DocumentReader([str(folder)])))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return publish_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> str:
    return publish_captioned(tmp_path_factory.mktemp("captioned"), UNITS)


@pytest.fixture(scope="module")
def finished(
    ray_session: None, captioned: str, tokenizer: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Manifest]:
    """An extraction by one worker, to compare others with."""
    folder = tmp_path_factory.mktemp("tokens")
    return folder, extract(captioned, tokenizer, folder)


def data(folder: Path) -> dict[str, bytes]:
    """What was published, by name."""
    return {path.name: path.read_bytes() for path in sorted((folder / "data").iterdir())}


def test_every_document_becomes_tokens_of_its_schedule(
    finished: tuple[Path, Manifest], captioned: str
) -> None:
    folder, manifest = finished
    documents = {d.sample_id: d for d in extracted(folder)}
    wanted = [
        d.sample_id
        for unit in tar_units([captioned])
        for d, _ in iter_span(unit.payload, Span(0, unit.payload.entry.rows))
    ]
    assert sorted(documents) == sorted(wanted)
    assert manifest.counts == Counts(total=14, kept=14)
    for found in documents.values():
        text, image = found.segments
        assert (text.kind, image.kind, text.loss, image.loss) == ("text", "image", True, True)
        assert len(text.ids) > 0
        assert len(image.targets) == 1 + 4 + 9 + 16
        assert image.targets.max() < manifest.metadata["codebook_size"]


def test_files_are_sorted_and_say_what_made_them(finished: tuple[Path, Manifest]) -> None:
    folder, manifest = finished
    table = pq.read_table(folder / "data/b.parquet")
    assert table["sample_id"].to_pylist() == sorted(table["sample_id"].to_pylist())
    (schedule,) = read_schedules(table.schema).values()
    assert (schedule.grids, schedule.cell) == (((1, 1), (2, 2), (3, 3), (4, 4)), 16)
    assert read_provenance(table.schema)["tokenizer"] == manifest.metadata["tokenizer"]
    assert read_provenance(table.schema)["device"] == "cpu"
    assert (folder / "pictures/decoded_back.png").read_bytes().startswith(b"\x89PNG")


def test_figures_are_those_of_the_rows(finished: tuple[Path, Manifest]) -> None:
    folder, manifest = finished
    figures = manifest.metadata
    tables = [pq.read_table(folder / f"data/{name}.parquet") for name in UNITS]
    tokens, pairs = (sum(sum(t[column].to_pylist()) for t in tables) for column in ("tokens", "pairs"))
    assert figures["families"] == {"t2i": {"documents": 14, "tokens": tokens, "pairs": pairs}}
    assert figures["tokens"] == tokens == sum(len(d.segments[0].ids) + 31 for d in extracted(folder))
    stored = sum((folder / f"data/{name}.parquet").stat().st_size for name in UNITS)
    assert figures["bytes_per_document"] == round(stored / 14, 1)
    assert list(figures["schedules"].values()) == [figures["images"]] == [14]
    assert figures["decoded_back"]["pictures"] == 8
    catalogue = read_table(str(folder / "data/catalogue.parquet")).to_pylist()
    assert [sum(row[column] for row in catalogue) for column in ("tokens", "pairs")] == [tokens, pairs]
    assert {(len(row["schedules"]), row["attempts"]) for row in catalogue} == {(1, None)}


def test_self_correction_samples_every_scale_but_the_last(finished: tuple[Path, Manifest]) -> None:
    folder, manifest = finished
    changed = np.mean([d.segments[1].inputs != d.segments[1].targets for d in extracted(folder)], axis=0)
    by_scale = [part.mean() for part in np.split(changed, [1, 5, 14])]
    assert by_scale == pytest.approx(manifest.metadata["corrected_share"])
    assert by_scale[3] == 0
    assert 0.3 < np.mean(by_scale[1:3]) < 0.7


@pytest.mark.parametrize(("workers", "prefetch"), [(2, 16), (1, 0)])
def test_neither_workers_nor_prefetch_change_a_byte(
    finished: tuple[Path, Manifest],
    captioned: str,
    tokenizer: str,
    tmp_path: Path,
    workers: int,
    prefetch: int,
) -> None:
    made = extract(captioned, tokenizer, tmp_path, workers, prefetch=prefetch)
    assert made.hash == finished[1].hash
    assert data(tmp_path) == data(finished[0])
    assert (tmp_path / "manifest.parquet").read_bytes() == (finished[0] / "manifest.parquet").read_bytes()


def test_every_family_keeps_its_order_and_what_is_learnt(
    ray_session: None, tokenizer: str, tmp_path: Path
) -> None:
    pairs = {name: [of_family(name, place) for place in range(2)] for name in FAMILIES}
    curated = publish(tmp_path / "curated", pairs)
    manifest = extract(curated, tokenizer, tmp_path / "tokens", workers=2)
    found = {d.sample_id: d for d in extracted(tmp_path / "tokens")}
    for wanted, media in (pair for part in pairs.values() for pair in part):
        segments = found[wanted.sample_id].segments
        assert [(s.kind, s.loss) for s in segments] == [(s.kind, s.loss) for s in wanted.segments]
        assert found[wanted.sample_id].family == wanted.family
        assert sum(s.kind == "image" for s in segments) >= len(media)
    assert manifest.counts == Counts(total=12, kept=12)
    sums = manifest.metadata["families"]
    assert {family: one["documents"] for family, one in sums.items()} == {
        "edit": 2,
        "subject": 2,
        "t2i": 2,
        "understanding": 4,
        "video": 2,
    }
    assert (tmp_path / "tokens/pictures/decoded_back.png").exists()


def test_texts_need_no_image_tokenizer(ray_session: None, tmp_path: Path) -> None:
    curated = publish(
        tmp_path / "curated", {"a": [of_family("text", place) for place in range(5)]}, "text/mixed"
    )
    manifest = extract(curated, None, tmp_path / "out")
    assert manifest.counts == Counts(total=5, kept=5)
    assert manifest.metadata["tokenizer"] is None
    assert not (tmp_path / "out/pictures").exists()
    table = pq.read_table(tmp_path / "out/data/a.parquet")
    assert table.schema.remove_metadata() == TOKENS_SCHEMA
    assert (read_schedules(table.schema), set(table["targets"].to_pylist())) == ({}, {b""})
    for row in table.to_pylist():
        length = len(row["text_ids"]) // 4
        assert (row["tokens"], row["pairs"]) == (length, length * (length + 1) // 2)


@pytest.mark.chaos
def test_units_of_several_folders_have_names_of_their_own(
    ray_session: None, tokenizer: str, tmp_path: Path
) -> None:
    folders = [
        publish(tmp_path / name, {"a": [of_family("t2i", place)]}, partition=name)
        for place, name in enumerate(("t2i-0000", "t2i-0001"))
    ]
    manifest = extract(folders, tokenizer, tmp_path / "out")
    assert manifest.counts == Counts(total=2, kept=2)
    assert manifest.paths(".parquet")[1:] == [f"data/t2i-captioned-t2i-000{n}-a.parquet" for n in range(2)]
    sources = read_table(str(tmp_path / "out/data/catalogue.parquet"))["source"].to_pylist()
    assert len(set(sources)) == 2


def test_the_seed_and_the_level_decide_what_is_sampled(
    captioned: str, tokenizer: str, tmp_path: Path
) -> None:
    tar = tar_units([captioned])[0].payload

    def inputs_of(seed: int, level: str) -> list[bytes]:
        settings = SETTINGS.model_copy(update={"level_name": level})
        encoder = load_encoder(Plan(Output(str(tmp_path)), tokenizer, "hash", settings, seed, "session"))
        return [row["changed_values"] for row in encoder.encode(iter_span(tar, Span(0, 5))).rows]

    assert inputs_of(0, "small") == inputs_of(0, "small")
    assert inputs_of(0, "small") != inputs_of(1, "small")
    assert inputs_of(0, "small") != inputs_of(0, "large")


def test_a_run_that_was_cut_off_ends_with_the_same_bytes(
    finished: tuple[Path, Manifest], captioned: str, tokenizer: str, tmp_path: Path
) -> None:
    folder, whole = finished
    killed = Path(shutil.copytree(folder, tmp_path / "killed"))
    (killed / "manifest.parquet").unlink()
    (killed / "units/b.json").unlink()
    (killed / "data/b.parquet").write_bytes(b"PAR1 and no more")
    (killed / "data/.publishing-0123").write_bytes(b"half of a file")
    untouched = (killed / "data/a.parquet").stat().st_mtime_ns
    again = extract(captioned, tokenizer, killed)
    assert again.hash == whole.hash
    assert (again.metadata["units_tried_again"], whole.metadata["units_tried_again"]) == (1, 0)
    assert (killed / "data/a.parquet").stat().st_mtime_ns == untouched
    assert not (killed / "data/.publishing-0123").exists()
    assert (killed / "manifest.parquet").read_bytes() == (folder / "manifest.parquet").read_bytes()


def test_a_damaged_picture_has_a_reason_and_the_others_their_tokens(
    finished: tuple[Path, Manifest], tokenizer: str, tmp_path: Path
) -> None:
    curated = publish_captioned(tmp_path / "captioned", UNITS, damaged=frozenset({6}))
    manifest = extract(curated, tokenizer, tmp_path / "out")
    assert manifest.counts == Counts(total=14, kept=13, rejected={"checksum": 1})
    rows = read_table(str(tmp_path / "out/data/catalogue.parquet")).to_pylist()
    assert len(rows) == len({row["source"] for row in rows}) == 14
    (rejected,) = [row for row in rows if row["status"] == "rejected"]
    assert rejected["source"] == f"data/b.tar#{format_id(rejected['sample_id'])}.json"
    assert {name: data(tmp_path / "out")[f"{name}.parquet"] for name in "ac"} == {
        name: data(finished[0])[f"{name}.parquet"] for name in "ac"
    }


def test_a_picture_may_be_as_large_as_curation_let_it(
    ray_session: None, tokenizer: str, tmp_path: Path
) -> None:
    large = io.BytesIO()
    Image.new("1", (10_300, 10_000)).save(large, "PNG")
    pairs = [document("t2i", "very large", large.getvalue())]
    manifest = extract(publish(tmp_path / "curated", {"a": pairs}), tokenizer, tmp_path / "out")
    assert manifest.counts == Counts(total=1, kept=1)
    assert manifest.metadata["decoded_back"]["pictures"] == 1


@pytest.mark.parametrize("kept_bytes", [2500, 4000, 512 * 9, 0])
def test_a_shard_cut_short_is_one_clear_line(tmp_path: Path, kept_bytes: int) -> None:
    curated = Path(publish_captioned(tmp_path / "captioned", UNITS))
    tar = curated / "data/b.tar"
    tar.write_bytes(tar.read_bytes()[:kept_bytes])
    tars = {unit.name: unit.payload for unit in tar_units([str(curated)])}
    assert len(list(iter_span(tars["a"], Span(1, 3)))) == 2
    for span in (Span(0, 4), Span(0, 1), Span(3, 4)):
        with pytest.raises(UserError, match=r"b\.tar: the shard is damaged: [0-3] of 4 documents"):
            list(iter_span(tars["b"], span))
    assert read_manifest(str(curated)).counts.kept == 14


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"level": Level(schedule=[1, 2], cell=8)}, "levels.small.cell"),
        ({"top_k": 65}, "self_correction.top_k"),
    ],
)
def test_settings_that_do_not_fit_the_tokenizer_are_named(
    captioned: str, tokenizer: str, tmp_path: Path, wrong: dict[str, Any], where: str
) -> None:
    with pytest.raises(UserError, match=where):
        extract(captioned, tokenizer, tmp_path, **wrong)
