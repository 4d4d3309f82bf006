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
from jobs.recipe import Duplicates, Filters, ScenesSource, SemanticEncoder, Source
from jobs.semantic.train import run
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs import SemanticSettings
from jobs.specs.t2i import FilterSettings

Spec = JobSpec[SemanticSettings]
MakeSpec = Callable[..., Spec]
FilterSource = Callable[[Source], str]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Small models lose more to threads than they gain, above all beside other work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def filter_source(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> FilterSource:
    """`filter_source(source)` -> the folder of a finished `t2i/filtered`."""

    def make(source: Source) -> str:
        folder = tmp_path_factory.mktemp("drop")
        filters = Filters(min_entropy=0.27, min_sharpness=10, max_border=0.94)
        publish_shards(Output(str(folder / "raw")), list_shards("t2i", source))
        spec = JobSpec[FilterSettings](
            asset="t2i/filtered",
            fingerprint="f",
            inputs={"raw/t2i": [str(folder / "raw")]},
            output=str(folder / "filtered"),
            settings=FilterSettings(source=source, filters=filters, duplicates=Duplicates()),
        )
        filter_job.run(spec, SilentReporter())
        return spec.output

    return make


@pytest.fixture(scope="session")
def scenes(filter_source: FilterSource) -> str:
    """A drop of 600 scenes, in two shards."""
    return filter_source(ScenesSource(count=600, shard_records=300))


@pytest.fixture(scope="session")
def unseen(filter_source: FilterSource) -> str:
    """Another 120 scenes, in two shards: no encoder is trained on them."""
    return filter_source(ScenesSource(count=120, seed=1, shard_records=60))


def semantic_spec(output: Path | str, folders: list[str], **settings: int | float) -> Spec:
    """The spec of a short training over filtered folders."""
    defaults: dict[str, int | float] = {"steps": 6, "batch_size": 8, "warmup_steps": 2, "checkpoint_every": 2}
    return JobSpec[SemanticSettings](
        asset="tokenizer/semantic",
        fingerprint="f",
        seed=3,
        inputs={"t2i/filtered": folders},
        output=str(output),
        settings=SemanticSettings(
            semantic=SemanticEncoder.model_validate(defaults | settings),
            preset="tiny",
            text_tokenizer="builtin",
        ),
    )


@pytest.fixture
def make_spec(tmp_path: Path, scenes: str) -> MakeSpec:
    """`make_spec(name, **settings)` -> a short training that writes to `name`."""

    def make(name: str, folders: list[str] | None = None, **settings: int | float) -> Spec:
        return semantic_spec(tmp_path / name, [scenes] if folders is None else folders, **settings)

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, scenes: str) -> Spec:
    """A finished training that learnt."""
    folder = tmp_path_factory.mktemp("semantic") / "trained"
    spec = semantic_spec(
        folder, [scenes], steps=200, batch_size=32, learning_rate=1e-2, warmup_steps=20, checkpoint_every=1000
    )
    run(spec, SilentReporter())
    return spec


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, scenes: str) -> Spec:
    """The same after a single step at no rate to speak of: the negative control."""
    folder = tmp_path_factory.mktemp("semantic") / "untrained"
    spec = semantic_spec(folder, [scenes], steps=1, learning_rate=1e-9)
    run(spec, SilentReporter())
    return spec
