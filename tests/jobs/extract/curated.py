"""Curated documents of every family, as curation publishes them, and extractions of them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from infra.catalogue import Counts
from infra.document import Document, Family, ImageSegment, Segment, TextSegment, format_id, sample_id
from infra.job import JobSpec, Resources
from infra.manifest import Manifest, Output
from infra.reporter import Reporter, SilentReporter
from jobs.curated import Media, tar_bytes
from jobs.extract.run import run
from jobs.recipe import Level, SelfCorrection, Tokens
from jobs.scenes.sample import make_sample
from jobs.specs import TokensSettings
from tests.jobs.support import LEVEL

Pair = tuple[Document, Media]

CORRECTION = SelfCorrection(top_k=8)
SETTINGS = TokensSettings(
    tokens=Tokens(self_correction=CORRECTION),
    text_tokenizer="builtin",
    context_mode="shifted",
    level_name="small",
    level=LEVEL,
)
TEXT_SETTINGS = TokensSettings(tokens=Tokens(), text_tokenizer="builtin", context_mode="shifted")


def picture(place: int, width: int = 64, height: int = 64) -> bytes:
    """A scene as PNG, stretched to a size."""
    scene = Image.open(io.BytesIO(make_sample(0, place, 64).png)).resize((width, height))
    buffer = io.BytesIO()
    scene.save(buffer, "PNG")
    return buffer.getvalue()


def document(family: Family, *content: str | bytes, learnt: Sequence[int] | None = None) -> Pair:
    """Texts and pictures in order; `learnt` are the places of the segments with a loss, None: all."""
    parts = [part.encode() if isinstance(part, str) else part for part in content]
    id_ = sample_id(family, parts)
    segments: list[Segment] = []
    media: Media = {}
    for place, part in enumerate(content):
        loss = learnt is None or place in learnt
        if isinstance(part, str):
            segments.append(TextSegment(text=part, loss=loss))
            continue
        member = f"{format_id(id_)}.{place}.png"
        width, height = Image.open(io.BytesIO(part)).size
        sha256 = hashlib.sha256(part).hexdigest()
        segments.append(ImageSegment(member=member, width=width, height=height, sha256=sha256, loss=loss))
        media[member] = part
    return Document(sample_id=id_, family=family, segments=tuple(segments)), media


def of_family(name: str, place: int) -> Pair:
    """A document of a family, as its curation makes it."""
    one, other = picture(2 * place), picture(2 * place + 1)
    made = {
        "t2i": lambda: document("t2i", f"scene {place}", one),
        "understanding": lambda: document("understanding", one, "what?", f"scene {place}", learnt=[2]),
        "dialogue": lambda: document("understanding", one, "a", "b", other, "c", f"d{place}", learnt=[2, 5]),
        "edit": lambda: document("edit", one, f"change {place}", other, learnt=[2]),
        "subject": lambda: document("subject", one, f"the same {place}", other, learnt=[2]),
        "video": lambda: document("video", "first", one, "then", other, one, f"at last {place}", other),
        "text": lambda: document("text", f"A text about {place}. " * 9),
    }
    return made[name]()


def publish(
    folder: Path,
    units: Mapping[str, Sequence[Pair]],
    asset: str = "t2i/captioned",
    partition: str | None = None,
) -> str:
    """A finished curated folder with a tar for each unit."""
    output = Output(str(folder))
    entries = [
        output.publish(f"data/{name}.tar", tar_bytes(pairs), len(pairs)) for name, pairs in units.items()
    ]
    total = sum(map(len, units.values()))
    counts = Counts(total=total, kept=total)
    output.commit(
        Manifest(asset=asset, partition=partition, fingerprint="f", files=tuple(entries), counts=counts)
    )
    return str(folder)


def damaged(pair: Pair) -> Pair:
    """The same document; its first picture lost its last bytes after it was checked."""
    name = min(pair[1])
    return pair[0], {**pair[1], name: pair[1][name][:-20]}


def extract(
    curated: str | Sequence[str],
    tokenizer: str | None,
    output: Path,
    workers: int = 1,
    level: Level = LEVEL,
    prefetch: int = 4,
    report: Reporter | None = None,
    **correction: Any,
) -> Manifest:
    """Run the job."""
    self_correction = CORRECTION.model_copy(update=correction)
    tokens = Tokens(self_correction=self_correction, prefetch=prefetch)
    settings = SETTINGS.model_copy(update={"tokens": tokens, "level": level}) if tokenizer else TEXT_SETTINGS
    folders = [curated] if isinstance(curated, str) else list(curated)
    spec: JobSpec[Any] = JobSpec[TokensSettings](
        asset="tokens/t2i",
        partition="t2i-0000|small",
        fingerprint="f",
        inputs={"t2i/captioned": folders} | ({"tokenizer/joint": [tokenizer]} if tokenizer else {}),
        output=str(output),
        settings=settings,
        resources=Resources(workers=workers),
    )
    return run(spec, report or SilentReporter())
