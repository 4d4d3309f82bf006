"""The tokenizer's job: it learns, resumes to the same bytes, and two workers do what one does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, read_table
from infra.reporter import SilentReporter
from jobs.models import load_tokenizer
from jobs.specs import TokenizerSettings
from jobs.tokenizer.evaluate import code_uses, psnr
from jobs.tokenizer.train import run

Spec = JobSpec[TokenizerSettings]


class KilledError(Exception):
    """Stands for the end of the process: nothing after it runs."""


class KillAt(SilentReporter):
    def __init__(self, step: int) -> None:
        self.step = step

    def figures(self, step: int, values: dict[str, float]) -> None:
        if step == self.step:
            raise KilledError


def contents(spec: Spec, manifest: Manifest) -> dict[str, bytes]:
    return {f.path: (Path(spec.output) / f.path).read_bytes() for f in manifest.files}


def test_the_job_publishes_a_tokenizer_that_learnt(make_spec: Any) -> None:
    spec = make_spec("run", steps=60, batch_size=8, checkpoint_every=100)
    manifest = run(spec, SilentReporter())
    tokenizer = load_tokenizer(spec.output)
    assert tokenizer.config.seed == 3
    figures = manifest.metadata
    assert figures["steps"] == 60
    assert figures["held_out"] == 16
    assert 0 < figures["codebook_use"] <= 1
    assert math.isfinite(figures["psnr"])
    assert figures["last"]["loss"] < 0.9 * figures["first"]["loss"]
    assert manifest.counts.describe() == "40 in = 24 kept + 16 rejected + 0 errored"
    assert {p.stem for p in (Path(spec.output) / "pictures").iterdir()} == {
        "codes",
        "loss",
        "reconstructions",
    }


def test_a_killed_run_ends_at_the_same_bytes(make_spec: Any) -> None:
    whole, killed = make_spec("whole", steps=8), make_spec("killed", steps=8)
    expected = run(whole, SilentReporter())
    for step in (1, 4, 7):
        with pytest.raises(KilledError):
            run(killed, KillAt(step))
    assert run(killed, SilentReporter()) == expected
    assert contents(killed, expected) == contents(whole, expected)


@pytest.mark.usefixtures("ray_session")
def test_two_workers_train_what_one_does(make_spec: Any) -> None:
    one, two = make_spec("one", steps=3), make_spec("two", steps=3, workers=2)
    run(one, SilentReporter())
    run(two, SilentReporter())
    rows = [read_table(f"{s.output}/data/metrics.parquet").to_pylist() for s in (one, two)]
    for a, b in zip(*rows, strict=True):
        assert a == pytest.approx(b, rel=1e-3)


def test_no_pictures_is_one_line(make_spec: Any, write_drop: Any) -> None:
    with pytest.raises(UserError, match="0 curated pictures are too few"):
        run(make_spec("run", folders=[write_drop(range(0))]), SilentReporter())


def test_a_cell_that_is_not_the_stride_is_one_line(make_spec: Any) -> None:
    with pytest.raises(UserError, match="stride of 8 pixels, level 'test' has cells of 16"):
        run(make_spec("run", preset="demo"), SilentReporter())


def test_an_unknown_preset_is_one_line(make_spec: Any) -> None:
    with pytest.raises(UserError, match="no tokenizer preset 'huge'"):
        run(make_spec("run", preset="huge"), SilentReporter())


def test_a_loss_that_is_not_finite_stops_with_its_step(make_spec: Any) -> None:
    with pytest.raises(UserError, match="not finite at step"):
        run(make_spec("run", learning_rate=1e30, warmup_steps=0), SilentReporter())


def test_psnr_of_known_errors() -> None:
    image = torch.zeros(1, 3, 4, 4)
    assert psnr(image, image + 0.2) == pytest.approx(20.0, abs=1e-4)  # 10 log10(4 / 0.04)
    assert psnr(image, image) == 100.0


def test_code_uses_counts_every_code_once() -> None:
    bars = code_uses(torch.tensor([0, 0, 1, 3, 4, 15, 16, 64, 256, 10_000]))
    assert list(bars.values()) == [2, 2, 2, 1, 1, 2]
