"""Finished outputs that tests of later jobs start from: small, but made by the real parts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id, sample_id
from infra.manifest import INPUTS, FileEntry, Manifest, Output, input_hashes
from infra.reporter import SilentReporter
from jobs.curated import Media, tar_bytes
from jobs.models import load_text, transformer_config
from jobs.recipe import Level, Model
from jobs.scenes.sample import make_sample
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.transformer.model import NextScaleTransformer


class KilledError(Exception):
    """Stands for the end of the process: nothing after it runs."""


class KillAt(SilentReporter):
    """Ends a training when a step's figures are told."""

    def __init__(self, step: int) -> None:
        self.step = step

    def figures(self, step: int, values: dict[str, float]) -> None:
        if step == self.step:
            raise KilledError


LEVEL = Level(schedule=[1, 2, 3, 4], cell=16)
"""Pictures of 64x64 in the cells of the `tiny` tokenizer."""


def commit(folder: Path, asset: str, files: list[FileEntry], total: int = 0, **metadata: Any) -> str:
    """Publish a manifest over files that are there; return the folder."""
    manifest = Manifest(
        asset=asset,
        partition=None,
        fingerprint="f",
        files=tuple(files),
        counts=Counts(total=total, kept=total),
        metadata=metadata,
    )
    Output(str(folder)).commit(manifest)
    return str(folder)


def publish_tokenizer(folder: Path, seed: int = 0) -> str:
    """A `tokenizer/joint` with the weights it was initialised with."""
    config = TokenizerConfig(**{**vars(TokenizerConfig.preset("tiny")), "seed": seed})
    ImageTokenizer(config).save_pretrained(folder / "data")
    return commit(folder, "tokenizer/joint", _entries(folder))


def publish_transformer(
    folder: Path, stage: str = "pretrain", inputs: Mapping[str, Sequence[str]] | None = None
) -> str:
    """A `training/<stage>` with the weights it was initialised with; it names the inputs that are given."""
    text = load_text("builtin")
    config = transformer_config(Model(preset="tiny"), text, TokenizerConfig.preset("tiny"))
    NextScaleTransformer(config).save_pretrained(folder / "data")
    return commit(folder, f"training/{stage}", _entries(folder), **{INPUTS: input_hashes(inputs or {})})


def publish_captioned(folder: Path, units: dict[str, range], damaged: frozenset[int] = frozenset()) -> str:
    """A `t2i/captioned` of scenes, by unit; the pictures at `damaged` places lose their last bytes."""
    output = Output(str(folder))
    entries = []
    for name, places in units.items():
        documents = [curated_scene(place, place in damaged) for place in places]
        entries.append(output.publish(f"data/{name}.tar", tar_bytes(documents), len(documents)))
    return commit(folder, "t2i/captioned", entries, sum(map(len, units.values())))


def curated_scene(place: int, damaged: bool = False) -> tuple[Document, Media]:
    """A scene as curation publishes it."""
    sample = make_sample(0, place, 64)
    id_ = sample_id("t2i", [sample.caption.encode(), sample.png])
    member = f"{format_id(id_)}.0.png"
    sha256 = hashlib.sha256(sample.png).hexdigest()
    picture = ImageSegment(member=member, width=64, height=64, sha256=sha256)
    metadata: dict[str, Any] = {"source": f"scenes#{place}", "topic": "other", "truth": None}
    segments = (TextSegment(text=sample.caption), picture)
    document = Document(sample_id=id_, family="t2i", segments=segments, metadata=metadata)
    return document, {member: sample.png[:-20] if damaged else sample.png}


def _entries(folder: Path) -> list[FileEntry]:
    """Entries of the files that a model wrote by itself."""
    return [
        FileEntry(
            path=str(path.relative_to(folder)),
            bytes=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted((folder / "data").iterdir())
    ]
