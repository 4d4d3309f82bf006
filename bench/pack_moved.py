"""What the whole packing job takes when documents have a payload: bytes a second, and memory.

Token files of documents with a caption and a 256x256 picture of uniformly random codes, which nothing
compresses (2,048 different ones, again and again under other ids), are packed as a stage does it: planned,
and their rows moved to the packs over Ray. The memory is that of all processes together, Ray's own among
them. It should hardly grow with the documents:

    PYTHONPATH=. python bench/pack_moved.py [--documents 400000 1600000] [--folder SCRATCH]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from extract import random_row
from harness import write_result
from memory import run_watched
from pack_mix import commit_tokens

from infra.catalogue import Counts
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import SilentReporter
from jobs.extract.unit import GROUP_DOCUMENTS
from jobs.recipe import Model, Packing
from jobs.schemas import TOKENS_SCHEMA, with_metadata
from jobs.specs import PackSettings
from model.scales import table14
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.transformer.cost import allowed_pairs
from model.transformer.layout import ImagePart

PACKAGES = ["numpy", "pyarrow", "ray"]
DIFFERENT = 2048
FILE_DOCUMENTS = 1 << 15
MAX_TOKENS = 16_384


def main() -> None:
    """Pack every number of documents, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[400_000, 1_600_000])
    parser.add_argument("--folder", type=Path, help="for token files and packs; else a temporary one")
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        pack_part(options.part)
        return
    figures: dict[str, Any] = {"load_before": os.getloadavg(), "max_tokens": MAX_TOKENS}
    figures["by_documents"] = {str(count): packed(count, options.folder) for count in options.documents}
    write_result("pack-moved", figures | {"load_after": os.getloadavg()}, PACKAGES)


def packed(count: int, scratch: Path | None) -> dict[str, Any]:
    """Pack in a process of its own, whose memory and children's is watched."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        stored = write_tokens(folder / "tokens", count)
        save_tokenizer(folder / "tokenizer")
        found = run_watched([sys.executable, __file__, "--part", str(folder)])
    found |= {"token_bytes": stored, "mib_per_second": round(stored / 2**20 / found["seconds"], 1)}
    print(count, found, flush=True)
    return found


def write_tokens(folder: Path, count: int) -> int:
    """A finished extraction; the bytes of its files."""
    schedule = next(s for s in table14(12) if s.width == s.height)
    rows = [random_row(schedule, number) for number in range(DIFFERENT)]
    codes = np.zeros(schedule.tokens, np.uint16)
    for row in rows:
        words = row["tokens"] - schedule.tokens - 1
        row["pairs"] = words * (words + 1) // 2 + words * (schedule.tokens + 1)
        row["pairs"] += allowed_pairs([ImagePart(schedule, codes, codes, True)], "shifted")
    different = pa.Table.from_pylist(
        rows, schema=with_metadata(TOKENS_SCHEMA, [schedule], {"tokenizer": "t"})
    )
    output, rng = Output(str(folder)), np.random.default_rng(0)
    entries, tokens, pairs = [], 0, 0
    for first in range(0, count, FILE_DOCUMENTS):
        size = min(FILE_DOCUMENTS, count - first)
        table = different.take(rng.integers(0, DIFFERENT, size))
        place = table.schema.get_field_index("sample_id")
        table = table.set_column(
            place, table.schema.field(place), pa.array(rng.integers(0, 2**64, size, np.uint64))
        )
        tokens += int(table["tokens"].to_numpy().sum(dtype=np.int64))
        pairs += int(table["pairs"].to_numpy().sum())
        entries.append(output.publish_table(f"data/unit-{first:012d}.parquet", table, GROUP_DOCUMENTS))
    commit_tokens(output, entries, {"t2i": {"documents": count, "tokens": tokens, "pairs": pairs}})
    return sum(entry.bytes for entry in entries)


def save_tokenizer(folder: Path) -> None:
    """A finished `tokenizer/joint`, of which packing reads the configuration."""
    ImageTokenizer(TokenizerConfig.preset("tiny")).save_pretrained(folder / "data")
    output = Output(str(folder))
    files = tuple(
        output.publish(f"data/{path.name}", path.read_bytes()) for path in sorted((folder / "data").iterdir())
    )
    output.commit(
        Manifest(asset="tokenizer/joint", partition=None, fingerprint="f", files=files, counts=Counts())
    )


def pack_part(folder: Path) -> None:
    """The watched process: pack, and print what was found."""
    from infra.local_ray import ensure_ray
    from jobs.pack.run import run

    ensure_ray()
    spec: JobSpec[Any] = JobSpec[PackSettings](
        asset="packs/stage",
        fingerprint="f",
        inputs={"tokens/t2i": [str(folder / "tokens")], "tokenizer/joint": [str(folder / "tokenizer")]},
        output=str(folder / "packs"),
        settings=PackSettings(
            stage_name="stage",
            mixture={"t2i": 1.0},
            packing=Packing(max_tokens=MAX_TOKENS),
            model=Model(preset="tiny"),
        ),
    )
    start = time.perf_counter()
    manifest = run(spec, SilentReporter())
    seconds = round(time.perf_counter() - start, 2)
    names = ("packs", "packs_over_bound", "bytes", "windows")
    figures = {name: manifest.metadata[name] for name in names}
    print(json.dumps({"seconds": seconds, "kept": manifest.counts.kept, **figures}))


if __name__ == "__main__":
    main()
