"""A small messy source, and the whole of curation over it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infra.job import Job, JobSpec, Resources
from infra.manifest import Output
from infra.reporter import SilentReporter
from infra.storage import list_files
from jobs.curate.t2i import balance, caption, topics
from jobs.curate.t2i import filter as filter_job
from jobs.recipe import Balance, Captions, Duplicates, Filters, FolderSource, Source, Topics
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs.t2i import BalanceSettings, CaptionSettings, FilterSettings, TopicSettings

FILTERS = Filters(max_bytes=200_000, max_pixels=2_000_000)
TAXONOMY = {"cat": ["cat"], "dog": ["dog"]}


def encode(image: Image.Image, name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name)
    return buffer.getvalue()


def photo(seed: int, width: int = 96, height: int = 80) -> Image.Image:
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    fine = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    size = (width, height)
    return Image.blend(image.resize(size, Image.Resampling.BICUBIC), fine.resize(size), 0.2)


def framed() -> Image.Image:
    image = Image.new("RGB", (100, 100), "white")
    image.paste(photo(77, 60, 60), (20, 20))
    return image


def huge_header() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


@pytest.fixture
def messy(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder with good and bad records, and what should become of each picture by file name."""
    jpeg = encode(photo(50), "JPEG")
    blurred = photo(60).resize((4, 4)).resize((256, 256), Image.Resampling.BICUBIC)
    bad: dict[str, tuple[bytes, bytes | None, str]] = {
        "b0.jpg": (jpeg[: len(jpeg) // 2], b"a cat", "truncated"),
        "b1.jpg": (b"", b"a cat", "empty_file"),
        "b2.png": (huge_header(), b"a cat", "too_many_pixels"),
        "b3.jpg": (b"<html>", b"a cat", "not_an_image"),
        "b4.png": (encode(photo(51, 20, 20)), b"a cat", "small"),
        "b5.png": (encode(photo(52, 600, 80)), b"a cat", "aspect"),
        "b6.png": (encode(Image.new("RGB", (99, 99), "red")), b"a cat", "solid"),
        "b7.png": (encode(blurred), b"a cat", "blurred"),
        "b8.png": (encode(framed()), b"a cat", "border"),
        "b9.bmp": (encode(photo(53, 400, 400), "BMP"), b"a cat", "too_many_bytes"),
        "c0.png": (encode(photo(54)), None, "no_caption"),
        "c1.png": (encode(photo(55)), b"caf\xe9", "caption_not_utf8"),
        "c2.png": (encode(photo(56)), b"x", "caption_short"),
        "x0.png": (encode(photo(0)), b"the same picture, other words", "exact_duplicate"),
        "x1.jpg": (encode(photo(1), "JPEG"), b"a dog", "near_duplicate"),
    }
    good = {
        f"a{n:02d}.png": (encode(photo(n)), f"a {'cat' if n % 3 else 'dog'} {n}".encode(), "")
        for n in range(12)
    }
    folder = tmp_path / "messy"
    folder.mkdir()
    for name, (data, text, _) in (good | bad).items():
        (folder / name).write_bytes(data)
        if text is not None:
            (folder / name).with_suffix(".txt").write_bytes(text)
    (folder / "a00.webp").write_bytes(encode(photo(99), "WEBP"))
    expected = {name: reason for name, (_, _, reason) in (good | bad).items()}
    return folder, expected | {"a00.webp": "duplicate_key"}


Curate = Callable[..., dict[str, str]]


@pytest.fixture
def curate(ray_session: None) -> Curate:
    """Run stages over a source: `curate(source, home)` gives the output folder of each stage."""

    def run(
        source: Source, home: Path, balance_to: float = 1.0, workers: int | None = None
    ) -> dict[str, str]:
        raw = publish_raw(source, home)
        steps: list[tuple[str, Job, Any]] = [
            (
                "filtered",
                filter_job.run,
                FilterSettings(source=source, filters=FILTERS, duplicates=Duplicates()),
            ),
            ("topics", topics.run, TopicSettings(topics=Topics(taxonomy=TAXONOMY))),
            ("balanced", balance.run, BalanceSettings(balance=Balance(max_share=balance_to))),
            ("captioned", caption.run, CaptionSettings(source=source, captions=Captions())),
        ]
        folders = {"raw": raw}
        before, asset = raw, "raw/t2i"
        for name, job, settings in steps:
            folders[name] = str(home / name)
            spec = JobSpec[type(settings)](  # type: ignore[misc]
                asset=f"t2i/{name}",
                partition="t2i-0000",
                fingerprint="f",
                inputs={asset: [before]},
                output=folders[name],
                settings=settings,
                resources=Resources(workers=workers),
            )
            job(spec, SilentReporter())
            before, asset = folders[name], f"t2i/{name}"
        return folders

    return run


def publish_raw(source: Source, home: Path) -> str:
    """The listing of a source as one drop."""
    folder = str(home / "raw")
    publish_shards(Output(folder), list_shards("t2i", source))
    return folder


@pytest.fixture
def source(messy: tuple[Path, dict[str, str]]) -> FolderSource:
    """The messy folder, in shards of ten pictures."""
    return FolderSource(uri=str(messy[0]), shard_records=10)


@pytest.fixture
def read_all() -> Callable[[str], dict[str, bytes]]:
    """The files below a folder by relative path."""

    def read(folder: str) -> dict[str, bytes]:
        return {f.uri.removeprefix(folder): Path(f.uri).read_bytes() for f in list_files(folder)}

    return read
