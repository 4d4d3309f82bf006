"""The whole of subject curation over a source, with an encoder that learnt nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from curate.subject.plan import steps

from infra.job import JobSpec, Resources
from infra.manifest import Output
from infra.reporter import SilentReporter
from infra.storage import list_files
from jobs.models import load_text
from jobs.recipe.sources import SubjectSource
from jobs.semantic.encoder import TrainedOn
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from model.semantic import CONTEXT, new_semantic_encoder, save_semantic_encoder
from model.tokenizer import TokenizerConfig

SIDE = 64
STAGES = ("scored", "embedded", "grouped", "candidates", "confirmed")

Curate = Callable[..., dict[str, str]]
ReadAll = Callable[[str], dict[str, bytes]]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Small models lose more to threads than they gain, above all beside other work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A semantic encoder with the weights it was initialised with: it tells pictures apart, no more."""
    folder = tmp_path_factory.mktemp("encoder")
    text = load_text("builtin")
    save_semantic_encoder(new_semantic_encoder(TokenizerConfig.preset("tiny"), text, 0), folder)
    TrainedOn("builtin", CONTEXT, SIDE).save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def curate(ray_session: None, encoder: str) -> Curate:
    """`curate(source, home, **changes)` runs all stages; gives the output folder of each."""

    def run(
        source: SubjectSource,
        home: Path,
        workers: int | None = None,
        cache: str | None = None,
        **changes: Any,
    ) -> dict[str, str]:
        folders = {name: str(home / name) for name in ("raw", *STAGES)}
        publish_shards(Output(folders["raw"]), list_shards("subject", source))
        for name, (job, inputs, settings) in steps(source, encoder, changes).items():
            spec = JobSpec[type(settings)](  # type: ignore[misc]
                asset=f"subject/{name}",
                partition="subject-0000",
                fingerprint="f",
                inputs={asset: [folders.get(asset.rpartition("/")[2], folders["raw"])] for asset in inputs},
                output=folders[name],
                cache=cache,
                settings=settings,
                resources=Resources(workers=workers),
            )
            if not (home / name / "manifest.parquet").exists():
                job(spec, SilentReporter())
        return folders

    return run


@pytest.fixture(scope="session")
def read_all() -> ReadAll:
    """The files below a folder by relative path."""

    def read(folder: str) -> dict[str, bytes]:
        return {f.uri.removeprefix(folder): Path(f.uri).read_bytes() for f in list_files(folder)}

    return read
