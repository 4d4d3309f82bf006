"""Curated pictures of every kind that edits are made from, small and drawn here."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id, sample_id
from infra.manifest import Manifest, Output
from jobs.curated import Media, tar_bytes
from jobs.recipe.curation.edit import TASKS
from jobs.recipe.curation.synthetic import SyntheticEdits
from jobs.scenes.sample import make_sample
from jobs.specs.synthetic import SyntheticSettings

Pair = tuple[Document, Media]

EVEN = dict.fromkeys(TASKS, 1.0)


def encode(image: Image.Image, name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name)
    return buffer.getvalue()


def cutout(color: str, seed: int = 0, side: int = 96) -> Image.Image:
    """A shaded ball with a hole, in the middle of what is transparent."""
    layer = Image.new("RGBA", (side + 16, side + 8))
    pen = ImageDraw.Draw(layer)
    pen.ellipse((8, 4, 8 + side - 1, 4 + side - 1), fill=color)
    pen.ellipse((side // 3, side // 3, side // 2 + seed, side // 2), fill=(0, 0, 0, 0))
    light = Image.new("RGBA", layer.size)
    ImageDraw.Draw(light).ellipse((side // 2, 12, side // 2 + 12, 24), fill="white")
    layer.paste(light, mask=light)
    return layer


def photo(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 226, (8, 10, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def curated(source: str, caption: str, data: bytes, size: tuple[int, int] = (1, 1)) -> Pair:
    """A picture as text-to-image curation publishes it."""
    value = sample_id("t2i", [caption.encode(), data])
    member = f"{format_id(value)}.0.png"
    segment = ImageSegment(
        member=member, width=size[0], height=size[1], sha256=hashlib.sha256(data).hexdigest()
    )
    document = Document(
        sample_id=value,
        family="t2i",
        segments=(TextSegment(text=caption), segment),
        metadata={"source": source, "topic": "other", "truth": None},
    )
    return document, {member: data}


def picture(source: str, caption: str, image: Image.Image, name: str = "PNG") -> Pair:
    return curated(source, caption, encode(image, name), image.size)


def scene(index: int) -> Pair:
    sample = make_sample(5, index, 64)
    return curated(f"scenes:5/64#{index:09d}", sample.caption, sample.png, (64, 64))


COLORS = ("red", "green", "blue", "orange", "purple", "gray", "gold", "teal")


def cutouts(number: int) -> list[Pair]:
    return [
        picture(f"folder#c{n}.png", f"A {COLORS[n % 8]} ball number {n}.", cutout(COLORS[n % 8], n % 7))
        for n in range(number)
    ]


def photos(number: int) -> list[Pair]:
    return [
        picture(f"folder#p{n}.jpg", f"A photo of a meadow {n} in spring", photo(n), "JPEG")
        for n in range(number)
    ]


def publish(folder: Path, tars: list[list[Pair]]) -> str:
    """A finished t2i/captioned with these documents."""
    output = Output(str(folder))
    files = [
        output.publish(f"data/{n:06d}.tar", tar_bytes(pairs), len(pairs)) for n, pairs in enumerate(tars)
    ]
    total = sum(map(len, tars))
    counts = Counts(total=total, kept=total)
    manifest = Manifest(
        asset="t2i/captioned", partition="t2i-0000", fingerprint="f", files=tuple(files), counts=counts
    )
    output.commit(manifest)
    return str(folder)


def settings(target: dict[str, float] | None = None, **fields: float) -> SyntheticSettings:
    return SyntheticSettings(
        synthetic=SyntheticEdits.model_validate(fields), target=target or EVEN, max_pixels=1_000_000
    )
