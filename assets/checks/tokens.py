"""Checks of tokens: every index is in its codebook, every image as long as its schedule says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from assets.checks import Check, Published, Verdict, no_problems
from infra import storage
from infra.manifest import read_manifest

SCHEDULES = b"nextscale.schedules"
"""Schema metadata of token files: schedule name to {"cell", "grids"}."""


def token_rows(output: Published) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
    """Every row of the token files, with the lengths of the schedules of its file."""
    for path in output.manifest.paths(".parquet"):
        with storage.open_input(storage.join(output.folder, path)) as stream:
            file = pq.ParquetFile(stream)
            if "targets" not in file.schema_arrow.names:
                continue
            schedules = json.loads(file.schema_arrow.metadata[SCHEDULES])
            lengths = {name: sum(h * w for h, w in s["grids"]) for name, s in schedules.items()}
            for batch in file.iter_batches(256):
                yield from ((row, lengths) for row in batch.to_pylist())


def _ids_in_range(output: Published) -> Verdict:
    size = _codebook_size(output.inputs["tokenizer/joint"][0])
    problems: list[str] = []
    largest = 0
    for row, _ in token_rows(output):
        for column in ("targets", "changed_values"):
            top = int(np.frombuffer(row[column], "<u2").max(initial=0))
            largest = max(largest, top)
            if top >= size:
                problems.append(f"{row['sample_id']:016x}: {column} has {top}, the codebook {size} codes")
    return no_problems(problems, f"all below {size}", largest=largest, codebook_size=size)


def _codebook_size(tokenizer: str) -> int:
    """Of a finished tokenizer: what the configuration it published says."""
    (path,) = read_manifest(tokenizer).paths("config.json")
    return int(json.loads(storage.read_bytes(storage.join(tokenizer, path)))["codebook_size"])


def _lengths(output: Published) -> Verdict:
    problems: list[str] = []
    images = 0
    for row, lengths in token_rows(output):
        segments = [s for s in row["segments"] if s["kind"] == "image"]
        images += len(segments)
        expected = sum(lengths[s["schedule"]] for s in segments)
        found = len(row["targets"]) // 2
        changed = int(np.unpackbits(np.frombuffer(row["changed"], np.uint8)).sum())
        name = f"{row['sample_id']:016x}"
        if any(s["length"] != lengths[s["schedule"]] for s in segments) or found != expected:
            problems.append(f"{name}: {found} image tokens, its schedules say {expected}")
        if changed * 2 != len(row["changed_values"]):
            problems.append(f"{name}: {changed} changed positions, {len(row['changed_values']) // 2} values")
    return no_problems(problems, f"{images} images are as long as their schedules", images=images)


def _conservation(output: Published) -> Verdict:
    (drop,) = output.input_manifests("t2i/captioned")
    ids = [row["sample_id"] for row, _ in token_rows(output)]
    counts = output.manifest.counts
    problems = []
    if counts.total != drop.counts.kept:
        problems.append(f"{drop.counts.kept} documents were curated, {counts.total} went in")
    if len(ids) != counts.kept:
        problems.append(f"the manifest says {counts.kept} documents, the files hold {len(ids)}")
    if len(set(ids)) != len(ids):
        problems.append(f"{len(ids) - len(set(ids))} documents are there twice")
    return no_problems(problems, counts.describe(), documents=len(ids))


IDS_IN_RANGE = Check("ids_in_range", "Every index names a code of the codebook.", _ids_in_range)
LENGTHS = Check("lengths_match", "Every image has as many tokens as its scale schedule.", _lengths)
CONSERVATION = Check("conservation", "Every curated document is there once, or rejected.", _conservation)
