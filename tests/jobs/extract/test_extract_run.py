"""The extraction job: the same bytes whatever the workers or kills, and no document lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.catalogue import Counts
from infra.document import format_id
from infra.errors import UserError
from infra.job import JobSpec, Resources
from infra.manifest import Manifest, Output, read_manifest, read_table
from infra.reporter import SilentReporter
from jobs.extract.read import iter_rows
from jobs.extract.run import run
from jobs.extract.unit import Extractor, Plan, load_encoder, unit_of
from jobs.recipe import Level, Model, SelfCorrection, Tokens
from jobs.schemas import read_provenance, read_schedules
from jobs.specs import TokensSettings
from jobs.units import Unit
from tests.jobs.support import LEVEL, curated_scene, publish_captioned, publish_tokenizer

SETTINGS = TokensSettings(
    tokens=Tokens(self_correction=SelfCorrection(top_k=8)),
    level_name="small",
    level=LEVEL,
    model=Model(preset="tiny"),
)
UNITS = {"a": range(5), "b": range(5, 9), "c": range(9, 14)}


def extract(
    inputs: tuple[str, str],
    output: Path,
    workers: int = 1,
    level: Level = LEVEL,
    **correction: Any,
) -> Manifest:
    captioned, tokenizer = inputs
    tokens = Tokens(self_correction=SelfCorrection(**{"top_k": 8, **correction}))
    settings = SETTINGS.model_copy(update={"tokens": tokens, "level": level})
    spec: JobSpec[Any] = JobSpec[TokensSettings](
        asset="tokens/t2i",
        partition="t2i-0000|small",
        fingerprint="f",
        inputs={"t2i/captioned": [captioned], "tokenizer/joint": [tokenizer]},
        output=str(output),
        settings=settings,
        resources=Resources(workers=workers),
    )
    return run(spec, SilentReporter())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("inputs")
    return publish_captioned(folder / "captioned", UNITS), publish_tokenizer(folder / "tokenizer")


@pytest.fixture(scope="module")
def finished(
    ray_session: None, inputs: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Manifest]:
    """An extraction by one worker, to compare others with."""
    folder = tmp_path_factory.mktemp("tokens")
    return folder, extract(inputs, folder)


def test_every_document_becomes_tokens_of_its_schedule(finished: tuple[Path, Manifest]) -> None:
    folder, manifest = finished
    documents = {d.sample_id: d for d in iter_rows(str(folder))}
    assert sorted(documents) == sorted(curated_scene(place)[0].sample_id for place in range(14))
    assert manifest.counts == Counts(total=14, kept=14)
    for document in documents.values():
        text, image = document.segments
        assert (text.kind, image.kind, text.loss, image.loss) == ("text", "image", True, True)
        assert len(text.ids) > 0
        assert len(image.targets) == 1 + 4 + 9 + 16
        assert image.targets.max() < manifest.metadata["codebook_size"]


def test_files_are_sorted_and_say_what_made_them(
    finished: tuple[Path, Manifest], inputs: tuple[str, str]
) -> None:
    folder, manifest = finished
    table = pq.read_table(folder / "data/b.parquet")
    assert table["sample_id"].to_pylist() == sorted(table["sample_id"].to_pylist())
    (schedule,) = read_schedules(table.schema).values()
    assert schedule.grids == ((1, 1), (2, 2), (3, 3), (4, 4))
    assert schedule.cell == 16
    assert read_provenance(table.schema)["tokenizer"] == manifest.metadata["tokenizer"]
    assert manifest.metadata["schedules"] == {schedule.name: 14}
    assert manifest.metadata["tokens"] == sum(
        len(d.segments[0].ids) + schedule.tokens + 1 for d in iter_rows(str(folder))
    )
    assert (folder / "pictures/decoded_back.png").read_bytes().startswith(b"\x89PNG")


def test_self_correction_samples_every_scale_but_the_last(finished: tuple[Path, Manifest]) -> None:
    folder, manifest = finished
    changed = np.mean([d.segments[1].inputs != d.segments[1].targets for d in iter_rows(str(folder))], axis=0)
    by_scale = [part.mean() for part in np.split(changed, [1, 5, 14])]
    assert by_scale == pytest.approx(manifest.metadata["corrected_share"])
    assert by_scale[3] == 0
    assert 0.3 < np.mean(by_scale[1:3]) < 0.7


def test_two_workers_make_the_same_bytes(
    finished: tuple[Path, Manifest], inputs: tuple[str, str], tmp_path: Path
) -> None:
    assert extract(inputs, tmp_path, workers=2).hash == finished[1].hash


def test_the_seed_and_the_level_decide_what_is_sampled(inputs: tuple[str, str], tmp_path: Path) -> None:
    def inputs_of(seed: int, level: str) -> list[bytes]:
        settings = SETTINGS.model_copy(update={"level_name": level})
        encoder = load_encoder(Plan(Output(str(tmp_path)), *inputs, "hash", settings, seed))
        return [encoder.row(*curated_scene(place))["changed_values"] for place in range(3)]

    assert inputs_of(0, "small") == inputs_of(0, "small")
    assert inputs_of(0, "small") != inputs_of(1, "small")
    assert inputs_of(0, "small") != inputs_of(0, "large")


@pytest.mark.chaos
def test_a_killed_run_ends_with_the_same_bytes(
    finished: tuple[Path, Manifest], inputs: tuple[str, str], tmp_path: Path
) -> None:
    folder, whole = finished
    killed = Path(shutil.copytree(folder, tmp_path / "killed"))
    (killed / "manifest.parquet").unlink()
    (killed / "units/b.json").unlink()
    (killed / "data/b.parquet").write_bytes(b"PAR1 and no more")
    (killed / "data/.publishing-0123").write_bytes(b"half of a file")
    untouched = (killed / "data/a.parquet").stat().st_mtime_ns
    assert extract(inputs, killed).hash == whole.hash
    assert (killed / "data/a.parquet").stat().st_mtime_ns == untouched
    assert not (killed / "data/.publishing-0123").exists()


def test_a_damaged_picture_has_a_reason_and_the_others_their_tokens(
    finished: tuple[Path, Manifest], inputs: tuple[str, str], tmp_path: Path
) -> None:
    whole, _ = finished
    captioned = publish_captioned(tmp_path / "captioned", UNITS, damaged=frozenset({6}))
    manifest = extract((captioned, inputs[1]), tmp_path / "out")
    assert manifest.counts == Counts(total=14, kept=13, rejected={"checksum": 1})
    rows = read_table(str(tmp_path / "out/data/catalogue.parquet")).to_pylist()
    damaged = curated_scene(6)[0].sample_id
    assert len(rows) == len({row["source"] for row in rows}) == 14
    assert [r["source"] for r in rows if r["status"] == "rejected"] == [
        f"data/b.tar#{format_id(damaged)}.json"
    ]
    for name in "ac":
        assert (tmp_path / f"out/data/{name}.parquet").read_bytes() == (
            whole / f"data/{name}.parquet"
        ).read_bytes()


@pytest.mark.parametrize("kept_bytes", [2500, 4000, 512 * 9, 0])
def test_a_shard_cut_short_is_one_clear_line(
    inputs: tuple[str, str], tmp_path: Path, kept_bytes: int
) -> None:
    captioned = Path(publish_captioned(tmp_path / "captioned", UNITS))
    tar = captioned / "data/b.tar"
    tar.write_bytes(tar.read_bytes()[:kept_bytes])
    worker = Extractor(Plan(Output(str(tmp_path)), str(captioned), inputs[1], "hash", SETTINGS, 0))
    units = {unit_of(f.path): f for f in read_manifest(str(captioned)).files}
    assert worker(Unit("a", units["a"])).counts.kept == 5
    with pytest.raises(UserError, match=r"b\.tar: the shard is damaged: [0-3] of 4 documents"):
        worker(Unit("b", units["b"]))


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"level": Level(schedule=[1, 2], cell=8)}, "levels.small.cell"),
        ({"top_k": 65}, "self_correction.top_k"),
    ],
)
def test_settings_that_do_not_fit_the_tokenizer_are_named(
    inputs: tuple[str, str], tmp_path: Path, wrong: dict[str, Any], where: str
) -> None:
    with pytest.raises(UserError, match=where):
        extract(inputs, tmp_path, **wrong)
