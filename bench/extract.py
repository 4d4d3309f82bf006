"""How near extraction comes to the bare tokenizer, and how small a document is stored.

Speed: the same pictures, once as ready tensors through `encode_corrected` at its best batch size, once as
curated JPEGs through the whole path (read, decode, fit, bucket, encode, rows, Parquet), in turn. On a CPU
both have one core and one thread, as one worker has. Size: token files of documents with uniformly random
codes, which nothing compresses, against plain uint16 arrays of the same: the columns of codes against targets
and inputs, whole documents against these and the ids of the caption.

    PYTHONPATH=. python bench/extract.py [--device cuda --batches 8 16 32 64 --pictures 2000 2000]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from harness import seconds_in_turn, write_result
from PIL import Image

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id, sample_id
from infra.manifest import Manifest, Output, digest
from jobs.attempts import new_session
from jobs.curated import Media, tar_bytes
from jobs.extract.codes import PictureEncoder, bucketed, to_pixels
from jobs.extract.encode import Encoder
from jobs.extract.plan import Plan, Tar, tar_units
from jobs.extract.prepare import Picture, Prepared, prepare
from jobs.extract.unit import GROUP_DOCUMENTS, Extractor
from jobs.recipe import Level, Tokens
from jobs.scenes.sample import make_sample
from jobs.schemas import TOKENS_SCHEMA, DocumentTokens, SegmentTokens, to_row
from jobs.specs import TokensSettings
from jobs.units import Unit
from model.scales import ScaleSchedule, table14
from model.text import load_text_tokenizer
from model.tokenizer import Correction, ImageTokenizer, TokenizerConfig
from model.tokenizer.correction import draw_ranks

PACKAGES = ["torch", "pyarrow", "pillow"]
SHAPES = ((512, 512), (640, 480), (480, 640))
"""Pixels of the curated pictures, in turn; each falls to another row of Table 14."""

LEVEL = Level(schedule="table14", scales=12)
SCALES = {256: 12, 512: 16, 1024: 18}
CODES = 32768
CODE_COLUMNS = ("targets", "changed", "changed_values")
STORED = 1024
"""Documents of the measurement of sizes."""

Pair = tuple[Document, Media]


def main() -> None:
    """Measure every preset and every level, and write the result."""
    options = parse()
    if options.device == "cpu":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        torch.set_num_threads(1)
    figures: dict[str, Any] = {"speed": {}, "size": {side: sizes(scales) for side, scales in SCALES.items()}}
    for preset, number in zip(options.presets, options.pictures, strict=True):
        figures["speed"][preset] = speed(preset, number, options)
        print(preset, figures["speed"][preset], flush=True)
    for side, found in figures["size"].items():
        print(side, found, flush=True)
    figures["settings"] = {"runs": options.runs, "threads": torch.get_num_threads(), "level": 256}
    if options.device == "cuda":
        figures["settings"]["gpu"] = torch.cuda.get_device_name()
    write_result("extract", figures, PACKAGES, options.device)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--presets", nargs="+", default=["photo", "nextflow"])
    parser.add_argument("--pictures", type=int, nargs="+", default=[48, 6], help="of each preset")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2], help="of the tokenizer alone")
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn; medians are reported")
    return parser.parse_args()


@dataclass(frozen=True)
class Bench:
    """One tokenizer with the pictures that it encodes."""

    tokenizer: ImageTokenizer
    device: Any
    unit: Unit[Tar]
    pictures: list[Picture]


class WithEncoder(Extractor):
    """An extractor with a tokenizer that is loaded already."""

    def __init__(self, plan: Plan, encoder: Encoder) -> None:
        super().__init__(plan)
        self._encoder = encoder


def speed(preset: str, number: int, options: argparse.Namespace) -> dict[str, Any]:
    """Pictures per second of the tokenizer alone at each batch size and of extraction, and their ratio."""
    tokenizer = ImageTokenizer(TokenizerConfig.preset(preset)).eval().to(options.device)
    with tempfile.TemporaryDirectory() as folder:
        pairs = [curated(place) for place in range(number)]
        (unit,) = tar_units([publish(Path(folder) / "curated", pairs)])
        found = [prepare(*pair, LEVEL.schedules()) for pair in pairs]
        pictures = [one for each in found if isinstance(each, Prepared) for one in each.pictures]
        bench = Bench(tokenizer, options.device, unit, pictures)
        calls: dict[str, Callable[[], object]] = {
            f"tokenizer_{size}": partial(bare, bench, size) for size in options.batches
        }
        calls["extraction"] = partial(extraction, bench, Path(folder))
        seconds = measure(calls, options)
    rates = {name: number / value for name, value in seconds.items()}
    best = max(rate for name, rate in rates.items() if name != "extraction")
    return {
        "pictures": number,
        "parameters": sum(weights.numel() for weights in tokenizer.parameters()),
        "pictures_per_second": {name: round(rate, 3) for name, rate in rates.items()},
        "extraction_over_tokenizer": round(rates["extraction"] / best, 3),
    }


def measure(calls: Mapping[str, Callable[[], object]], options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each call, in turn: on a CPU of processor time, which other processes do not take."""
    if options.device == "cuda":
        for call in calls.values():
            call()
        return seconds_in_turn(calls, options.runs, options.device)
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.runs):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name].append(time.process_time() - start)
            print(name, round(found[name][-1], 2), flush=True)
    return {name: statistics.median(values) for name, values in found.items()}


@torch.inference_mode()
def bare(bench: Bench, size: int) -> None:
    """The tokenizer on tensors of pictures that are ready, batch by batch."""
    for batch in bucketed(bench.pictures, lambda _: size):
        pixels_B3HW = to_pixels([picture.pixels_HW3 for picture in batch], bench.device)
        generators = [torch.Generator().manual_seed(place) for place in range(len(batch))]
        bench.tokenizer.encode_corrected(pixels_B3HW, batch[0].schedule, Correction(), generators)


def extraction(bench: Bench, folder: Path) -> None:
    """The whole path from a curated tar to a published token file."""
    output = Output(str(folder / new_session()))
    tokens = Tokens(device=bench.device)
    settings = TokensSettings(
        tokens=tokens, text_tokenizer="builtin", context_mode="shifted", level_name="256", level=LEVEL
    )
    plan = Plan(output, "tokenizer", "hash", settings, 0, new_session())
    pictures = PictureEncoder(bench.tokenizer, Correction(), bench.device)
    encoder = Encoder(load_text_tokenizer(), "shifted", pictures, LEVEL.schedules(), "256")
    receipt = WithEncoder(plan, encoder)(bench.unit)
    assert receipt.counts.kept == len(bench.pictures)


def curated(place: int) -> Pair:
    """A scene as a JPEG with the grain of a photograph, and its caption."""
    sample = make_sample(0, place, 64)
    shape = SHAPES[place % len(SHAPES)]
    scene = np.asarray(Image.open(io.BytesIO(sample.png)).resize(shape, Image.Resampling.BICUBIC), np.float32)
    grain = np.random.default_rng(place).normal(0, 6, scene.shape)
    buffer = io.BytesIO()
    Image.fromarray((scene + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    data = buffer.getvalue()
    id_ = sample_id("t2i", [sample.caption.encode(), data])
    member = f"{format_id(id_)}.0.jpg"
    sha256 = hashlib.sha256(data).hexdigest()
    image = ImageSegment(member=member, width=shape[0], height=shape[1], sha256=sha256)
    document = Document(sample_id=id_, family="t2i", segments=(TextSegment(text=sample.caption), image))
    return document, {member: data}


def publish(folder: Path, pairs: list[Pair]) -> str:
    """A finished curated folder with one tar."""
    output = Output(str(folder))
    entry = output.publish("data/a.tar", tar_bytes(pairs), len(pairs))
    counts = Counts(total=len(pairs), kept=len(pairs))
    name = digest([entry.sha256])[:16]
    output.commit(
        Manifest(asset="t2i/captioned", partition=None, fingerprint=name, files=(entry,), counts=counts)
    )
    return str(folder)


def sizes(scales: int) -> dict[str, Any]:
    """Bytes of a document at a level, as stored and as plain arrays."""
    schedule = next(s for s in table14(scales) if s.width == s.height)
    rows = [random_row(schedule, number) for number in range(STORED)]
    with tempfile.TemporaryDirectory() as folder:
        table = pa.Table.from_pylist(rows, schema=TOKENS_SCHEMA)
        stored = Output(folder).publish_table("tokens.parquet", table, GROUP_DOCUMENTS).bytes / STORED
        codes = column_bytes(Path(folder) / "tokens.parquet", CODE_COLUMNS) / STORED
    plain_codes = 2 * 2 * schedule.tokens
    plain = plain_codes + sum(2 * len(caption_ids(number)) for number in range(STORED)) / STORED
    return {
        "codes": schedule.tokens,
        "bytes_per_document": round(stored, 1),
        "bytes_of_codes": round(codes, 1),
        "bytes_of_plain_document": round(plain, 1),
        "bytes_of_plain_codes": plain_codes,
        "codes_smaller_by": round(1 - codes / plain_codes, 3),
        "documents_smaller_by": round(1 - stored / plain, 3),
    }


def column_bytes(path: Path, names: tuple[str, ...]) -> int:
    """Bytes that some columns take in a Parquet file."""
    about = pq.ParquetFile(path).metadata
    groups = [about.row_group(group) for group in range(about.num_row_groups)]
    columns = [group.column(place) for group in groups for place in range(group.num_columns)]
    return sum(c.total_compressed_size for c in columns if c.path_in_schema in names)


def random_row(schedule: ScaleSchedule, number: int) -> dict[str, Any]:
    """A document with the caption of a scene, random targets, and inputs sampled as self-correction does."""
    rng = np.random.default_rng(number)
    ranks_1N = draw_ranks(schedule, Correction(), [torch.Generator().manual_seed(number)])
    targets, others = (rng.integers(0, CODES, schedule.tokens).astype(np.uint16) for _ in range(2))
    inputs = np.where(ranks_1N[0].numpy() > 0, others, targets)
    ids = np.array(caption_ids(number), np.uint32)
    image = SegmentTokens("image", True, schedule=schedule.name, targets=targets, inputs=inputs)
    document = DocumentTokens(number * 2**50 + number, "t2i", (SegmentTokens("text", True, ids), image))
    return to_row(document, schedule.tokens + 1 + len(ids), 0)


@lru_cache(maxsize=STORED)
def caption_ids(number: int) -> tuple[int, ...]:
    """The ids of a scene's caption."""
    return tuple(load_text_tokenizer().encode(make_sample(0, number, 64).caption))


if __name__ == "__main__":
    main()
