"""Drawn scenes as the real filter hands them on, and an encoder that the real job trained on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infra.job import JobSpec
from infra.manifest import Output
from infra.reporter import SilentReporter
from jobs.curate.t2i import filter as filter_job
from jobs.curate.t2i import score as score_job
from jobs.recipe import Duplicates, Filters, ScenesSource, SemanticEncoder, Source
from jobs.semantic.pictures import Drop
from jobs.semantic.train import run
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs import SemanticSettings
from jobs.specs.t2i import FilterSettings, ScoreSettings

Spec = JobSpec[SemanticSettings]
MakeSpec = Callable[..., Spec]
FilterSource = Callable[[Source], Drop]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Small models lose more to threads than they gain, above all beside other work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def filter_source(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> FilterSource:
    """`filter_source(source)` -> a drop of a source, scored and filtered."""

    def make(source: Source) -> Drop:
        folder = tmp_path_factory.mktemp("drop")
        filters = Filters(min_entropy=0.27, min_sharpness=10, max_border=0.94, max_frame=1)
        publish_shards(Output(str(folder / "raw")), list_shards("t2i", source))
        drop = Drop(str(folder / "filtered"), str(folder / "scored"))
        sizes = {"max_bytes": filters.max_bytes, "max_pixels": filters.max_pixels}
        score = JobSpec[ScoreSettings](
            asset="t2i/scored",
            fingerprint="f",
            inputs={"raw/t2i": [str(folder / "raw")]},
            output=drop.scored,
            settings=ScoreSettings(source=source, **sizes),
        )
        judge = JobSpec[FilterSettings](
            asset="t2i/filtered",
            fingerprint="f",
            inputs={"t2i/scored": [drop.scored]},
            output=drop.filtered,
            settings=FilterSettings(filters=filters, duplicates=Duplicates()),
        )
        score_job.run(score, SilentReporter())
        filter_job.run(judge, SilentReporter())
        return drop

    return make


@pytest.fixture(scope="session")
def scenes(filter_source: FilterSource) -> Drop:
    """A drop of 600 scenes, in two shards."""
    return filter_source(ScenesSource(count=600, shard_records=300))


def semantic_spec(output: Path | str, drops: list[Drop], **settings: int | float) -> Spec:
    """The spec of a short training over filtered drops."""
    defaults: dict[str, int | float] = {"steps": 6, "batch_size": 8, "warmup_steps": 2, "checkpoint_every": 2}
    return JobSpec[SemanticSettings](
        asset="tokenizer/semantic",
        fingerprint="f",
        seed=3,
        inputs={
            "t2i/filtered": [drop.filtered for drop in drops],
            "t2i/scored": [drop.scored for drop in drops],
        },
        output=str(output),
        settings=SemanticSettings(
            semantic=SemanticEncoder.model_validate(defaults | settings),
            preset="tiny",
            text_tokenizer="builtin",
        ),
    )


@pytest.fixture
def make_spec(tmp_path: Path, scenes: Drop) -> MakeSpec:
    """`make_spec(name, **settings)` -> a short training that writes to `name`."""

    def make(name: str, drops: list[Drop] | None = None, **settings: int | float) -> Spec:
        return semantic_spec(tmp_path / name, [scenes] if drops is None else drops, **settings)

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, scenes: Drop) -> Spec:
    """A finished training that learnt."""
    folder = tmp_path_factory.mktemp("semantic") / "trained"
    spec = semantic_spec(
        folder, [scenes], steps=200, batch_size=32, learning_rate=1e-2, warmup_steps=20, checkpoint_every=1000
    )
    run(spec, SilentReporter())
    return spec


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, scenes: Drop) -> Spec:
    """The same after a single step at no rate to speak of: the negative control."""
    folder = tmp_path_factory.mktemp("semantic") / "untrained"
    spec = semantic_spec(folder, [scenes], steps=1, learning_rate=1e-9)
    run(spec, SilentReporter())
    return spec
