"""The tokenizer's evaluation: what it measures, on which pictures, and that a killed run loses nothing."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_table
from infra.reporter import SilentReporter
from jobs.recipe import Level, TokenizerEvaluation
from jobs.specs import TokenizerEvaluationSettings
from jobs.tokenizer.assess import STAGES, run
from jobs.tokenizer.batches import hold_out
from jobs.tokenizer.metrics import psnr, to_8_bits
from jobs.tokenizer.pictures import Pictures, find_pictures
from model.scales import square, table14
from model.tokenizer import ImageTokenizer, TokenizerConfig

Spec = JobSpec[TokenizerEvaluationSettings]
MakeSpec = Callable[..., Spec]

TRAIN_LEVEL = Level(schedule=[1, 2], cell=16)
LARGER = Level(schedule=[1, 2, 4], cell=16)
FEW = Level(schedule="table14", scales=3, cell=16)

SCRIPT = """
import os, signal, sys, torch
from infra.job import JobSpec
from infra.reporter import SilentReporter
from jobs.specs import TokenizerEvaluationSettings
from jobs.tokenizer.assess import run

class Killer(SilentReporter):
    def progress(self, done, total, unit):
        if done == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
run(JobSpec[TokenizerEvaluationSettings].model_validate_json(sys.argv[1]), Killer())
"""


def publish(folder: Path, stage: str, config: TokenizerConfig) -> str:
    """A finished `tokenizer/<stage>` with the weights it was initialised with."""
    ImageTokenizer(config).save_pretrained(folder / "files")
    output = Output(str(folder))
    files = [output.publish(f"model/{path.name}", path.read_bytes()) for path in (folder / "files").iterdir()]
    output.commit(
        Manifest(
            asset=f"tokenizer/{stage}", partition=None, fingerprint="f", files=tuple(files), counts=Counts()
        )
    )
    return output.uri


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of the three trainings' tokenizers, by stage."""
    tiny = TokenizerConfig.preset("tiny")
    configs = {
        "pixel": tiny.pixel_branch(),
        "joint": dataclasses.replace(tiny, seed=1),
        "decoder": dataclasses.replace(tiny.enhanced(), seed=1),
    }
    return {
        stage: publish(tmp_path_factory.mktemp(stage), stage, config) for stage, config in configs.items()
    }


@pytest.fixture
def make_spec(tmp_path: Path, drop: str, tokenizers: dict[str, str]) -> MakeSpec:
    """`make_spec(name, levels, **evaluation)` -> the spec of an evaluation that writes to `name`."""

    def make(
        name: str, levels: dict[str, Level] | None = None, drops: list[str] | None = None, **evaluation: Any
    ) -> Spec:
        settings = TokenizerEvaluationSettings(
            evaluation=TokenizerEvaluation(**evaluation),
            levels=levels or {"32": TRAIN_LEVEL},
            train_level=TRAIN_LEVEL,
            vgg16=None,
        )
        inputs = {f"tokenizer/{stage}": [folder] for stage, folder in tokenizers.items()}
        return Spec(
            asset="evaluation/tokenizer",
            fingerprint="f",
            inputs=inputs | {"t2i/captioned": drops or [drop]},
            output=str(tmp_path / name),
            settings=settings,
        )

    return make


class Recorder(SilentReporter):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int, str]] = []
        self.shown: set[str] = set()

    def progress(self, done: int, total: int, unit: str) -> None:
        self.steps.append((done, total, unit))

    def picture(self, name: str, uri: str) -> None:
        self.shown.add(name)


def quality(spec: Spec) -> list[dict[str, Any]]:
    return read_table(f"{spec.output}/data/quality.parquet").to_pylist()


def test_every_training_is_measured_at_every_level(make_spec: MakeSpec) -> None:
    spec, report = make_spec("out", {"64": LARGER, "32": TRAIN_LEVEL}, pictures=5), Recorder()
    manifest = run(spec, report)
    assert manifest.counts == Counts(total=16, kept=5, rejected={"beyond_limit": 11})
    rows = quality(spec)
    names = {"32": "square-16/2x2", "64": "square-16/4x4"}
    assert [(row["level"], row["stage"], row["schedule"]) for row in rows] == [
        (level, stage, schedule)
        for level, name in names.items()
        for stage in STAGES
        for schedule in (name, "all")
    ]
    for row in rows:
        assert row["pictures"] == 5
        assert row["psnr"] > 0
        assert row["ssim"] < 1
        assert row["lpips"] is row["rfid"] is None
        assert 1 <= row["perplexity"] <= 64 * row["codebook_use"] <= 64
    of_all = {row["stage"]: row for row in rows if (row["level"], row["schedule"]) == ("64", "all")}
    for stage in STAGES:
        figures = manifest.metadata[stage]["64"]
        assert figures == {name: of_all[stage][name] for name in figures}
        assert {
            "pictures",
            "psnr",
            "ssim",
            "lpips",
            "rfid",
            "codebook_use",
            "dead_codes",
            "perplexity",
        } == figures.keys()
    assert report.shown == {"reconstructions-32", "reconstructions-64", "psnr"}
    done = [step[0] for step in report.steps]
    assert done == sorted(done)
    assert report.steps[-1] == (30, 30, "pictures")


def test_it_measures_what_training_held_out(
    make_spec: MakeSpec, drop: str, tokenizers: dict[str, str]
) -> None:
    """By hand, with the tokenizer itself."""
    spec = make_spec("out", {"64": LARGER})
    run(spec, SilentReporter())
    pictures = Pictures(find_pictures([drop], [square([1, 2, 4], 16)]))
    _, held_out = hold_out([ref.sample_id for ref in pictures.refs])
    tokenizer = ImageTokenizer.from_pretrained(Path(tokenizers["joint"]) / "model")
    decibels, used, schedule = [], set(), pictures.refs[0].schedule
    for number in held_out:
        original = pictures.batch([number])
        indices = tokenizer.encode(original, schedule)
        decibels += psnr(to_8_bits(original), to_8_bits(tokenizer.decode(indices, schedule)))
        used |= set(indices.flatten().tolist())
    (row,) = (row for row in quality(spec) if (row["stage"], row["schedule"]) == ("joint", "all"))
    assert row["pictures"] == len(held_out) == 16
    assert row["psnr"] == pytest.approx(sum(decibels) / 16)
    assert row["codebook_use"] == len(used) / 64


def test_the_pictures_of_a_level_of_many_shapes_have_a_row_for_each(
    make_spec: MakeSpec, write_drop: Callable[..., str]
) -> None:
    drops = [write_drop(range(20)), write_drop(range(20, 40), (96, 24))]
    spec = make_spec("out", {"few": FEW}, drops)
    run(spec, SilentReporter())
    rows = [row for row in quality(spec) if row["stage"] == "pixel"]
    assert len(rows) == 3
    assert {row["schedule"] for row in rows[:-1]} < {schedule.name for schedule in table14(3)}
    assert sum(row["pictures"] for row in rows[:-1]) == rows[-1]["pictures"] == 16
    weighted = sum(row["pictures"] * row["psnr"] for row in rows[:-1]) / 16
    assert rows[-1]["psnr"] == pytest.approx(weighted)


@pytest.mark.chaos
def test_a_killed_run_ends_with_the_same_bytes(make_spec: MakeSpec, tmp_path: Path) -> None:
    levels = {"32": TRAIN_LEVEL}
    whole = run(make_spec("whole", levels, pictures=4), SilentReporter())
    spec = make_spec("killed", levels, pictures=4)
    script = [sys.executable, "-c", SCRIPT, spec.model_dump_json(), "6"]
    assert subprocess.run(script, timeout=120).returncode == -9
    assert list(Output(spec.output).receipts()) == ["32-pixel"]
    report = Recorder()
    assert run(spec, report) == whole
    assert [step[0] for step in report.steps[:3]] == [0, 4, 5], "the first unit is not done again"
    published = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "whole", tmp_path / "killed")
    ]
    assert published[0] == published[1]


def test_reconstructions_are_published_for_the_grid(make_spec: MakeSpec) -> None:
    spec = make_spec("out", {"64": LARGER}, pictures=3)
    manifest = run(spec, SilentReporter())
    paths = manifest.paths(".png")
    assert paths == [f"data/64/{stage}/{number}.png" for stage in STAGES for number in range(3)]
    assert {Image.open(f"{spec.output}/{path}").size for path in paths} == {(64, 64)}


def test_what_a_user_can_mend_is_one_line(make_spec: MakeSpec, write_drop: Callable[..., str]) -> None:
    with pytest.raises(UserError, match=r"stride of 16 pixels, level 'fine' cells of 8. Name levels"):
        run(make_spec("a", {"fine": Level(schedule=[1, 2], cell=8)}), SilentReporter())
    with pytest.raises(UserError, match="no pictures are held out"):
        run(make_spec("b", drops=[write_drop(range(1))]), SilentReporter())
    with pytest.raises(UserError, match=r"missing\.pth: no such file"):
        run(make_spec("c", rfid=True, inception="missing.pth"), SilentReporter())
    spec = make_spec("d", lpips=True)
    settings = spec.settings.model_copy(update={"vgg16": "missing.pth"})
    with pytest.raises(UserError, match=r"missing\.pth: no such file"):
        run(spec.model_copy(update={"settings": settings}), SilentReporter())
