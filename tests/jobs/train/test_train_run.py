"""The whole job, and the one real run on two workers of Ray Train with DeepSpeed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.errors import UserError
from infra.manifest import find_manifest, read_manifest, read_table
from infra.reporter import SilentReporter
from jobs.train.run import run


class Listener(SilentReporter):
    """Keeps what a job reports."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.live: dict[int, dict[str, float]] = {}
        self.pictures: list[str] = []

    def progress(self, done: int, total: int, unit: str) -> None:
        self.steps.append(done)

    def figures(self, step: int, values: dict[str, float]) -> None:
        self.live[step] = values

    def picture(self, name: str, uri: str) -> None:
        self.pictures.append(name)


def test_the_job_publishes_a_model_its_measurements_and_curves(make_spec: Any) -> None:
    spec, report = make_spec("run"), Listener()
    manifest = run(spec, report)
    assert find_manifest(spec.output) == manifest
    assert [f.path for f in manifest.files] == [
        "model/config.json",
        "model/model.safetensors",
        "data/metrics.parquet",
    ]
    assert report.steps == [1, 2, 3, 4, 5, 6]
    assert report.live[6]["tokens_per_second"] > 0
    assert report.pictures == ["loss"]
    assert manifest.metadata["steps"] == 6
    assert manifest.metadata["text_tokenizer"] == "builtin"
    read = {asset: [read_manifest(folder).hash] for asset, (folder,) in spec.inputs.items()}
    assert manifest.metadata["inputs"] == read
    assert manifest.metadata["first"].keys() == manifest.metadata["last"].keys()
    assert manifest.counts.total == 7


def test_a_finished_loop_is_not_run_again(make_spec: Any) -> None:
    spec = make_spec("run")
    manifest = run(spec, SilentReporter())
    (Path(spec.output) / "manifest.parquet").unlink()
    report = Listener()
    assert run(spec, report) == manifest
    assert not report.steps


def test_no_metadata_depends_on_the_clock(make_spec: Any) -> None:
    a, b = (run(make_spec(name), SilentReporter()) for name in ("a", "b"))
    assert a == b


def test_fewer_packs_than_workers_is_one_line(make_spec: Any) -> None:
    spec = make_spec("run", workers=8, packs_per_step=8)
    with pytest.raises(UserError, match="7 packs cannot feed 8 workers"):
        run(spec, SilentReporter())


@pytest.mark.chaos
@pytest.mark.usefixtures("ray_session")
def test_two_workers_train_what_one_does(make_spec: Any) -> None:
    """Ranks hold different numbers of tokens, so this also holds the global normalisation."""
    one, report = make_spec("one", steps=3), Listener()
    two = make_spec("two", steps=3, workers=2)
    run(one, SilentReporter())
    manifest = run(two, report)
    assert report.steps == [1, 2, 3]
    assert manifest.metadata["steps"] == 3
    rows = [read_table(f"{s.output}/data/metrics.parquet").to_pylist() for s in (one, two)]
    for a, b in zip(*rows, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
