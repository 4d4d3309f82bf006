"""The tokenizer's job: each stage learns, resumes to the same bytes, and two workers do what one does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import KillAt, KilledError

from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_table
from infra.reporter import SilentReporter
from jobs.models import load_tokenizer
from jobs.specs import FaceSettings, TokenizerSettings
from jobs.tokenizer import faces
from jobs.tokenizer.evaluate import code_uses
from jobs.tokenizer.train import run
from jobs.train.publish import UNIT

Spec = JobSpec[TokenizerSettings]


def contents(spec: Spec, manifest: Manifest) -> dict[str, bytes]:
    return {f.path: (Path(spec.output) / f.path).read_bytes() for f in manifest.files}


def rows_of(spec: Spec) -> list[dict[str, float]]:
    return list(read_table(f"{spec.output}/data/metrics.parquet").to_pylist())


@pytest.fixture
def pixel(make_spec: Any) -> dict[str, list[str]]:
    """A short training of the pixel branch, as an input."""
    spec = make_spec("pixel")
    run(spec, SilentReporter())
    return {"tokenizer/pixel": [spec.output]}


@pytest.fixture
def joint(make_spec: Any, pixel: dict[str, list[str]]) -> dict[str, list[str]]:
    """A short training of both branches, as an input."""
    spec = make_spec("joint", "joint", inputs=pixel)
    run(spec, SilentReporter())
    return {"tokenizer/joint": [spec.output]}


def test_the_job_publishes_a_tokenizer_that_learnt(make_spec: Any) -> None:
    spec = make_spec("run", steps=60, batch_size=8, checkpoint_every=100)
    manifest = run(spec, SilentReporter())
    tokenizer = load_tokenizer(spec.output)
    assert (tokenizer.config.seed, tokenizer.config.codebook_width) == (3, 8)
    figures = manifest.metadata
    assert figures["steps"] == 60
    assert figures["held_out"] == 16
    assert 0 < figures["codebook_use"] <= 1
    assert math.isfinite(figures["psnr"])
    assert figures["last"]["loss"] < 0.95 * figures["first"]["loss"]
    assert manifest.counts.describe() == "40 in = 24 kept + 16 rejected + 0 errored"
    pictures = {p.stem for p in (Path(spec.output) / "pictures").iterdir()}
    assert pictures == {"codes", "loss", "reconstructions"}


def test_joint_training_starts_where_the_pixel_branch_stopped(
    make_spec: Any, pixel: dict[str, list[str]]
) -> None:
    warm = make_spec("warm", "joint", inputs=pixel, steps=1, learning_rate=1e-9)
    run(warm, SilentReporter())
    ours, theirs = load_tokenizer(warm.output), load_tokenizer(pixel["tokenizer/pixel"][0])
    for part in ("pixel_encoder", "pixel_decoder"):
        for name, value in getattr(theirs, part).state_dict().items():
            assert torch.allclose(getattr(ours, part).state_dict()[name], value, atol=1e-6), name
    assert {"loss/semantic", "loss/reconstruction"} <= rows_of(warm)[0].keys()


def test_the_decoder_stage_draws_the_same_indices_with_a_larger_decoder(
    make_spec: Any, joint: dict[str, list[str]], drop: str
) -> None:
    spec = make_spec("decoder", "decoder", inputs=joint)
    run(spec, SilentReporter())
    before, after = load_tokenizer(joint["tokenizer/joint"][0]), load_tokenizer(spec.output)
    assert after.config == before.config.enhanced()
    for name, value in before.state_dict().items():
        if not name.startswith("pixel_decoder.") and name != "code_use":
            assert torch.equal(after.state_dict()[name], value), name
    rows = rows_of(spec)
    assert "loss/codebook" not in rows[0]
    assert rows[-1]["loss/reconstruction"] < rows[0]["loss/reconstruction"]


@pytest.mark.parametrize("stage", ["pixel", "joint", "decoder"])
def test_a_killed_run_ends_at_the_same_bytes(
    make_spec: Any, joint: dict[str, list[str]], pixel: dict[str, list[str]], stage: str
) -> None:
    options = {"inputs": {**pixel, **joint}, "adversarial_start": 3, "ema": 0.5, "steps": 8}
    whole, killed = (make_spec(name, stage, **options) for name in ("whole", "killed"))
    expected = run(whole, SilentReporter())
    assert "loss/discriminator" in rows_of(whole)[3]
    for step in (1, 4, 7):
        with pytest.raises(KilledError):
            run(killed, KillAt(step))
    assert run(killed, SilentReporter()) == expected
    assert contents(killed, expected) == contents(whole, expected)


def test_the_discriminator_takes_part_from_its_step_on(make_spec: Any) -> None:
    without, with_it = make_spec("without", steps=4), make_spec("with", steps=4, adversarial_start=2)
    for spec in (without, with_it):
        run(spec, SilentReporter())
    plain, judged = rows_of(without), rows_of(with_it)
    assert [row["loss/adversarial"] is None for row in judged] == [True, True, False, False]
    assert [a["loss"] == b["loss"] for a, b in zip(plain, judged, strict=True)] == [True, True, False, False]


def test_the_moving_average_is_published(make_spec: Any) -> None:
    plain, averaged = make_spec("plain", ema=None), make_spec("averaged", ema=0.99)
    for spec in (plain, averaged):
        run(spec, SilentReporter())
    last, mean = (load_tokenizer(spec.output).pixel_encoder.project.bias for spec in (plain, averaged))
    assert rows_of(plain) == rows_of(averaged)
    assert not torch.equal(last, mean)
    assert mean.abs().max() < last.abs().max()  # it started at zero and lags behind


@pytest.mark.chaos
@pytest.mark.usefixtures("ray_session")
def test_two_workers_train_what_one_does(make_spec: Any, pixel: dict[str, list[str]]) -> None:
    one, two = (
        make_spec(name, "joint", inputs=pixel, steps=3, workers=workers)
        for name, workers in (("one", 1), ("two", 2))
    )
    for spec in (one, two):
        run(spec, SilentReporter())
    for a, b in zip(rows_of(one), rows_of(two), strict=True):
        assert a == pytest.approx(b, rel=1e-3)


@pytest.mark.chaos
@pytest.mark.usefixtures("ray_session")
def test_two_workers_with_a_discriminator_keep_it_the_same(make_spec: Any) -> None:
    spec = make_spec("run", steps=3, workers=2, adversarial_start=0)
    run(spec, SilentReporter())
    assert all(math.isfinite(row["loss/discriminator"]) for row in rows_of(spec))


@pytest.mark.chaos
@pytest.mark.usefixtures("ray_session")
def test_pictures_with_faces_are_shown_more_often(
    make_spec: Any, write_drop: Any, tmp_path: Path, face: Image.Image
) -> None:
    faces_of_many = {n: face.crop((0, 0, 512 - n, 600 - n)) for n in range(8)}
    drop = write_drop(range(30), pictures=faces_of_many)
    looked_at = JobSpec[FaceSettings](
        asset="tokenizer/faces",
        fingerprint="f",
        inputs={"t2i/captioned": [drop]},
        output=str(tmp_path / "faces"),
        settings=FaceSettings(),
    )
    faces.run(looked_at, SilentReporter())
    inputs = {"tokenizer/faces": [looked_at.output]}
    often = make_spec("often", folders=[drop], inputs=inputs, face_oversampling=9)
    plain = make_spec("plain", folders=[drop])
    manifests = [run(spec, SilentReporter()) for spec in (often, plain)]
    assert manifests[0].counts == manifests[1].counts
    # Steps of an epoch are what a batch makes of the pictures shown, so the order differs at once.
    assert rows_of(often)[0]["loss"] != rows_of(plain)[0]["loss"]


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


def test_an_unfinished_run_has_no_receipt(make_spec: Any) -> None:
    spec = make_spec("run")
    with pytest.raises(KilledError):
        run(spec, KillAt(3))
    assert UNIT not in Output(spec.output).receipts()


def test_code_uses_counts_every_code_once() -> None:
    bars = code_uses(torch.tensor([0, 0, 1, 3, 4, 15, 16, 64, 256, 10_000]))
    assert list(bars.values()) == [2, 2, 2, 1, 1, 2]
