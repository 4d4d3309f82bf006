"""A tiny tokenizer and a few packs, published as the jobs before training publish them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from infra.catalogue import Counts
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output
from jobs.recipe import Model, Packing, Stage
from jobs.schemas import PACKS_SCHEMA, DocumentTokens, SegmentTokens, to_row, with_metadata
from jobs.specs import TrainSettings
from model.scales import ScaleSchedule, square
from model.text import load_text_tokenizer
from model.tokenizer import ImageTokenizer, TokenizerConfig

SCHEDULES = [square([1, 2, 3], 16), ScaleSchedule("wide", ((1, 1), (1, 2), (2, 3)), 16)]
"""Packs hold one shape or both, so processes that share a step do not see the same ones."""
CODES = TokenizerConfig.preset("tiny").codebook_size


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small models lose more to threads than they gain, above all beside other work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished tokenizer with random weights."""
    folder = tmp_path_factory.mktemp("tokenizer")
    ImageTokenizer(TokenizerConfig.preset("tiny")).save_pretrained(folder / "model")
    output = Output(str(folder))
    files = [
        output.publish(f"model/{path.name}", path.read_bytes())
        for path in sorted((folder / "model").iterdir())
    ]
    _commit(output, "tokenizer/joint", files)
    return output.uri


@pytest.fixture(scope="session")
def packs_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Seven finished packs of one to three documents, in two files."""
    return write_packs(tmp_path_factory.mktemp("packs"), [4, 3])


def write_packs(folder: Path, files: list[int]) -> str:
    """Publish packs of random documents; `files` says how many packs each file has."""
    output = Output(str(folder))
    schema = with_metadata(PACKS_SCHEMA, SCHEDULES, {"stage": "test"})
    entries, first = [], 0
    for number, count in enumerate(files):
        rows = [pack_row(first + i) for i in range(count)]
        table = pa.Table.from_pylist(rows, schema=schema)
        entries.append(output.publish_table(f"data/packs-{number:05d}.parquet", table, 2))
        first += count
    entries.append(output.publish_table("data/catalogue.parquet", pa.table({"x": [1]})))
    _commit(output, "packs/first", entries)
    return output.uri


def pack_row(number: int) -> dict[str, Any]:
    """A pack whose content is a function of its number."""
    documents = [_document(number * 10 + i) for i in range(number % 3 + 1)]
    tokens = sum(d["tokens"] for d in documents)
    return {"pack": number, "documents": documents, "tokens": tokens, "cost": 1.0}


def _document(sample_id: int) -> dict[str, Any]:
    rng = np.random.default_rng(sample_id)
    ids = rng.integers(0, load_text_tokenizer().size, 3 + sample_id % 7).astype(np.uint32)
    schedule = SCHEDULES[sample_id // 2 % 2]
    codes = [rng.integers(0, CODES, schedule.tokens).astype(np.uint16) for _ in range(2)]
    image = SegmentTokens("image", True, np.empty(0, np.uint32), schedule.name, *codes)
    document = DocumentTokens(sample_id, "t2i", (SegmentTokens("text", True, ids), image))
    return to_row(document, len(ids) + schedule.tokens + 1, 1) | {"repeat": 0}


def _commit(output: Output, asset: str, files: list[FileEntry]) -> None:
    output.commit(Manifest(asset=asset, partition=None, fingerprint="f", files=tuple(files), counts=Counts()))


@pytest.fixture
def make_spec(tmp_path: Path, packs_folder: str, tokenizer_folder: str) -> Any:
    """`make_spec(name, previous=None, **stage)` -> the spec of a short stage that writes to `name`."""

    def make(name: str, previous: str | None = None, **stage: Any) -> JobSpec[TrainSettings]:
        defaults: dict[str, Any] = {
            "level": "test",
            "steps": 6,
            "packs_per_step": 2,
            "workers": 1,
            "learning_rate": 1e-3,
            "warmup_steps": 2,
            "checkpoint_every": 2,
            "packing": Packing(max_tokens=64),
        }
        settings = TrainSettings(
            stage_name="first", stage=Stage(**{**defaults, **stage}), model=Model(preset="tiny")
        )
        inputs = {"packs/first": [packs_folder], "tokenizer/joint": [tokenizer_folder]}
        if previous:
            inputs["training/before"] = [previous]
        return JobSpec[TrainSettings](
            asset="training/first",
            fingerprint="f",
            seed=3,
            inputs=inputs,
            output=str(tmp_path / name),
            settings=settings,
        )

    return make


@pytest.fixture
def commit_training() -> Any:
    """Publish the manifest of a stage whose loop has ended."""

    def commit(spec: JobSpec[TrainSettings]) -> None:
        output = Output(spec.output)
        _commit(output, spec.asset, list(output.receipts()["training"].files))

    return commit
