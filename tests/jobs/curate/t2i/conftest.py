"""A small messy source, and the whole of curation over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from curate.t2i.chain import run_stages
from curate.t2i.hostile import MAX_BYTES, MAX_PIXELS, encode, huge_header, photo
from PIL import Image

from infra.storage import list_files
from jobs.recipe import Filters, FolderSource, Source, T2ICuration, Topics
from jobs.recipe.curation.t2i import Embedding
from jobs.semantic.encoder import TrainedOn
from model.semantic import CONTEXT, new_semantic_encoder, save_semantic_encoder
from model.text import load_text_tokenizer
from model.tokenizer import TokenizerConfig

FILTERS = Filters(max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
TOPICS = Topics(taxonomy={"cat": ["cat"], "dog": ["dog"]})
CURATION = T2ICuration(filters=FILTERS, topics=TOPICS)


def framed() -> Image.Image:
    image = Image.new("RGB", (100, 100), "white")
    image.paste(photo(77, 60, 60), (20, 20))
    return image


@pytest.fixture(scope="session")
def messy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
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
    folder = tmp_path_factory.mktemp("messy")
    for name, (data, text, _) in (good | bad).items():
        (folder / name).write_bytes(data)
        if text is not None:
            (folder / name).with_suffix(".txt").write_bytes(text)
    (folder / "a00.webp").write_bytes(encode(photo(99), "WEBP"))
    expected = {name: reason for name, (_, _, reason) in (good | bad).items()}
    return folder, expected | {"a00.webp": "duplicate_key"}


@pytest.fixture(scope="session")
def curation() -> T2ICuration:
    """The section of the recipe that `curate` obeys where a test says nothing else."""
    return CURATION


Curate = Callable[..., dict[str, str]]


@pytest.fixture(scope="session")
def curate(ray_session: None) -> Curate:
    """Run stages over a source: `curate(source, home)` gives the output folder of each stage."""

    def run(source: Source, home: Path, curation: T2ICuration = CURATION, **more: Any) -> dict[str, str]:
        return run_stages(source, home, curation, **more)

    return run


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small semantic encoder that learnt nothing: equal pictures are equal to it, others are not."""
    folder = tmp_path_factory.mktemp("encoder")
    model = new_semantic_encoder(TokenizerConfig.preset("tiny"), load_text_tokenizer(), 0).eval()
    save_semantic_encoder(model, folder)
    TrainedOn("builtin", CONTEXT, 32).save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def source(messy: tuple[Path, dict[str, str]]) -> FolderSource:
    """The messy folder, in shards of ten pictures."""
    return FolderSource(uri=str(messy[0]), shard_records=10)


@pytest.fixture(scope="session")
def finished(
    source: FolderSource, curate: Curate, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The output folder of each stage over the messy source, by one worker."""
    return curate(source, tmp_path_factory.mktemp("finished"), workers=1)


@pytest.fixture(scope="session")
def embedded(
    source: FolderSource,
    curate: Curate,
    finished: dict[str, str],
    encoder: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The same with `embedded`, by two workers."""
    home, embedding = tmp_path_factory.mktemp("embedded"), T2ICuration(embedding=Embedding())
    stages = ("embedded",)
    return curate(source, home, embedding, finished=finished, only=stages, workers=2, encoder=encoder)


@pytest.fixture(scope="session")
def read_all() -> Callable[[str], dict[str, bytes]]:
    """The files below a folder by relative path."""

    def read(folder: str) -> dict[str, bytes]:
        return {f.uri.removeprefix(folder): Path(f.uri).read_bytes() for f in list_files(folder)}

    return read
