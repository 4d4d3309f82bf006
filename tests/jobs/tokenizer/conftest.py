"""Curated drops of drawn scenes, published as captioning publishes them."""

from __future__ import annotations

import hashlib
import io
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id, sample_id
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from jobs.curated import Media, tar_bytes
from jobs.recipe import Level, TokenizerShared, TokenizerStage
from jobs.scenes.sample import make_sample
from jobs.specs import TokenizerSettings

WriteDrop = Callable[..., str]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small models lose more to threads than they gain, above all beside other work."""
    torch.set_num_threads(1)


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cached and every download fails at once."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # urllib keeps the proxies of its first call: the opener made here must end with the test.
    monkeypatch.setattr(urllib.request, "_opener", None)


@pytest.fixture(scope="session")
def face() -> Image.Image:
    """A photo of a person who faces the camera."""
    with get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        return Image.open(file).convert("RGB")


def document(index: int, width: int, height: int, picture: Image.Image | None) -> tuple[Document, Media]:
    if picture is None:
        picture = Image.open(io.BytesIO(make_sample(0, index, 64).png)).resize((width, height))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data, (width, height) = buffer.getvalue(), picture.size
    identity = sample_id("t2i", [str(index).encode(), data])
    member = f"{format_id(identity)}.0.png"
    image = ImageSegment(member=member, width=width, height=height, sha256=hashlib.sha256(data).hexdigest())
    segments = (TextSegment(text=f"scene {index}"), image)
    return Document(sample_id=identity, family="t2i", segments=segments), {member: data}


@pytest.fixture(scope="session")
def write_drop(tmp_path_factory: pytest.TempPathFactory) -> WriteDrop:
    """`write(numbers, size)` -> the folder of a finished drop with these scenes, in two tars.

    `pictures` stand in the place of scenes, by number.
    """

    def write(
        numbers: range, size: tuple[int, int] = (32, 32), pictures: dict[int, Image.Image] | None = None
    ) -> str:
        output = Output(str(tmp_path_factory.mktemp("captioned")))
        documents = [document(number, *size, (pictures or {}).get(number)) for number in numbers]
        half = len(documents) // 2
        parts = {"unit-0": documents[:half], "unit-1": documents[half:]}
        files = tuple(
            output.publish(f"data/{name}.tar", tar_bytes(part), len(part)) for name, part in parts.items()
        )
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
    """`make_spec(name, stage, **settings)` -> the spec of a short training that writes to `name`.

    Settings of the stage and of what all stages share go by their names; `inputs` are added.
    """

    def make(
        name: str,
        stage: Literal["pixel", "joint", "decoder"] = "pixel",
        folders: list[str] | None = None,
        inputs: dict[str, list[str]] | None = None,
        **settings: Any,
    ) -> JobSpec[TokenizerSettings]:
        shared: dict[str, Any] = {
            "preset": "tiny",
            "level": "test",
            "batch_size": 4,
            "workers": 1,
            "checkpoint_every": 2,
            "losses": {"perceptual": 0},
        }
        own = {"steps": 6, "learning_rate": 1e-3, "warmup_steps": 2}
        own |= {key: settings.pop(key) for key in TokenizerStage.model_fields if key in settings}
        return JobSpec[TokenizerSettings](
            asset=f"tokenizer/{stage}",
            fingerprint="f",
            seed=3,
            inputs={"t2i/captioned": [drop] if folders is None else folders, **(inputs or {})},
            output=str(tmp_path / name),
            settings=TokenizerSettings(
                stage_name=stage,
                stage=TokenizerStage(**own),
                tokenizer=TokenizerShared(**{**shared, **settings}),
                level=Level(schedule=[1, 2], cell=16),
            ),
        )

    return make
