"""Curated drops of drawn scenes, published as captioning publishes them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id, sample_id
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from jobs.curated import Media, tar_bytes
from jobs.recipe import Level, Tokenizer
from jobs.scenes.sample import make_sample
from jobs.specs import TokenizerSettings

WriteDrop = Callable[..., str]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small models lose more to threads than they gain, above all beside other work."""
    torch.set_num_threads(1)


def document(index: int, width: int, height: int) -> tuple[Document, Media]:
    picture = Image.open(io.BytesIO(make_sample(0, index, 64).png)).resize((width, height))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data = buffer.getvalue()
    identity = sample_id("t2i", [str(index).encode(), data])
    member = f"{format_id(identity)}.0.png"
    image = ImageSegment(member=member, width=width, height=height, sha256=hashlib.sha256(data).hexdigest())
    segments = (TextSegment(text=f"scene {index}"), image)
    return Document(sample_id=identity, family="t2i", segments=segments), {member: data}


@pytest.fixture(scope="session")
def write_drop(tmp_path_factory: pytest.TempPathFactory) -> WriteDrop:
    """`write(numbers, size)` -> the folder of a finished drop with these scenes, in two tars."""

    def write(numbers: range, size: tuple[int, int] = (32, 32)) -> str:
        output = Output(str(tmp_path_factory.mktemp("captioned")))
        documents = [document(number, *size) for number in numbers]
        half = len(documents) // 2
        parts = {"unit-0": documents[:half], "unit-1": documents[half:]}
        files = tuple(output.publish(f"data/{name}.tar", tar_bytes(part)) for name, part in parts.items())
        counts = Counts(total=len(documents), kept=len(documents))
        output.commit(
            Manifest(asset="t2i/captioned", partition="d", fingerprint="f", files=files, counts=counts)
        )
        return output.uri

    return write


@pytest.fixture(scope="session")
def drop(write_drop: WriteDrop) -> str:
    """Forty scenes of 32x32 pixels."""
    return write_drop(range(40))


@pytest.fixture
def make_spec(tmp_path: Path, drop: str) -> Any:
    """`make_spec(name, **tokenizer)` -> the spec of a short training that writes to `name`."""

    def make(name: str, folders: list[str] | None = None, **tokenizer: Any) -> JobSpec[TokenizerSettings]:
        defaults: dict[str, Any] = {
            "preset": "tiny",
            "level": "test",
            "steps": 6,
            "batch_size": 4,
            "workers": 1,
            "learning_rate": 1e-3,
            "warmup_steps": 2,
            "checkpoint_every": 2,
        }
        settings = TokenizerSettings(
            tokenizer=Tokenizer(**{**defaults, **tokenizer}), level=Level(schedule=[1, 2], cell=16)
        )
        return JobSpec[TokenizerSettings](
            asset="tokenizer/joint",
            fingerprint="f",
            seed=3,
            inputs={"t2i/captioned": [drop] if folders is None else folders},
            output=str(tmp_path / name),
            settings=settings,
        )

    return make
