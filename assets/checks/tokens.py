"""Checks of tokens: nothing is lost, every id is in its vocabulary, images are as long as their schedules."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import CATALOGUE
from infra import storage
from infra.manifest import read_manifest

SCHEDULES = b"nextscale.schedules"
"""Schema metadata of token files: schedule name to {"cell", "grids"}."""

TOKENIZER = "tokenizer/joint"


def token_rows(
    output: Published, columns: list[str] | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, int]]]:
    """Every row of the token files, few at a time, with the lengths of the schedules of its file."""
    for path in output.manifest.paths(".parquet"):
        if path == CATALOGUE:
            continue
        with storage.open_input(storage.join(output.folder, path)) as stream:
            file = pq.ParquetFile(stream)
            schedules = json.loads(file.schema_arrow.metadata[SCHEDULES])
            lengths = {name: sum(h * w for h, w in s["grids"]) for name, s in schedules.items()}
            for batch in file.iter_batches(256, columns=columns):
                yield from ((row, lengths) for row in batch.to_pylist())


def _ids_in_range(output: Published) -> Verdict:
    codes = _codebook_size(output.inputs[TOKENIZER][0]) if TOKENIZER in output.inputs else 0
    limits = {
        "text_ids": ("<u4", int(output.manifest.metadata["text_vocabulary"])),
        "targets": ("<u2", codes),
        "changed_values": ("<u2", codes),
    }
    problems: list[str] = []
    largest = dict.fromkeys(limits, -1)
    for row, _ in token_rows(output, ["sample_id", *limits]):
        for column, (kind, size) in limits.items():
            top = int(np.frombuffer(row[column], kind).max(initial=0)) if row[column] else -1
            largest[column] = max(largest[column], top)
            if top >= size:
                problems.append(f"{row['sample_id']:016x}: {column} has {top}, there are {size} ids")
    fine = f"text ids up to {largest['text_ids']}, codes up to {largest['targets']}"
    return no_problems(problems, fine, **largest, codebook_size=codes)


def _codebook_size(tokenizer: str) -> int:
    """Of a finished tokenizer: what the configuration it published says."""
    (path,) = read_manifest(tokenizer).paths("config.json")
    return int(json.loads(storage.read_bytes(storage.join(tokenizer, path)))["codebook_size"])


def _lengths(output: Published) -> Verdict:
    problems: list[str] = []
    images = texts = 0
    for row, lengths in token_rows(output):
        segments = [s for s in row["segments"] if s["kind"] == "image"]
        text_ids = sum(s["length"] for s in row["segments"] if s["kind"] == "text")
        images += len(segments)
        texts += len(row["segments"]) - len(segments)
        expected = sum(lengths[s["schedule"]] for s in segments)
        found = len(row["targets"]) // 2
        changed = int(np.unpackbits(np.frombuffer(row["changed"], np.uint8)).sum())
        name = f"{row['sample_id']:016x}"
        if any(s["length"] != lengths[s["schedule"]] for s in segments) or found != expected:
            problems.append(f"{name}: {found} image tokens, its schedules say {expected}")
        if changed * 2 != len(row["changed_values"]):
            problems.append(f"{name}: {changed} changed positions, {len(row['changed_values']) // 2} values")
        if text_ids * 4 != len(row["text_ids"]):
            problems.append(f"{name}: {len(row['text_ids']) // 4} text ids, its segments say {text_ids}")
    fine = f"{images} images are as long as their schedules, {texts} texts as their segments say"
    return no_problems(problems, fine, images=images, texts=texts)


def _conservation(output: Published) -> Verdict:
    counts = output.manifest.counts
    handed_on = sum(m.counts.kept for key in output.records_from for m in output.input_manifests(key))
    rows = output.table(CATALOGUE, ["status", "reason"])
    statuses = Counter(rows["status"].to_pylist())
    found = {"kept": counts.kept, "rejected": sum(counts.rejected.values()), "errored": counts.errored}
    ids = [row["sample_id"] for row, _ in token_rows(output, ["sample_id"])]
    problems = []
    if counts.total != handed_on:
        problems.append(f"{handed_on} documents were curated, {counts.total} went in")
    if statuses != Counter(found):
        problems.append(f"the catalogue says {dict(statuses)}, the manifest {counts.describe()}")
    if len(ids) != counts.kept:
        problems.append(f"the manifest says {counts.kept} documents, the files hold {len(ids)}")
    if len(set(ids)) != len(ids):
        problems.append(f"{len(ids) - len(set(ids))} documents are there twice")
    return no_problems(problems, counts.describe(), documents=len(ids), errored=counts.errored)


def _few_errors(output: Published) -> Verdict:
    counts, share = output.manifest.counts, output.settings.tokens.max_errored
    may = max(1, int(share * counts.total))
    passed = counts.errored <= may
    told = f"{counts.errored} of {counts.total} documents ended in an error, {may} may"
    if not passed:
        told += f"; {CATALOGUE} says why. Once mended, remove {output.folder} and run again"
    return Verdict(passed, told, {"errored": counts.errored, "allowed": may})


def _decoded_back(output: Published) -> Verdict:
    sample = output.manifest.metadata.get("decoded_back")
    if sample is None:
        return no_problems([], "no document has a picture", pictures=0)
    psnr, floor = float(sample["psnr"]), output.settings.tokens.min_psnr
    told = f"{sample['pictures']} pictures have {psnr:.2f} dB, the floor is {floor:g}"
    passed = math.isfinite(psnr) and psnr >= floor
    return Verdict(passed, told, {"pictures": sample["pictures"], "psnr": psnr})


IDS_IN_RANGE = Check(
    "ids_in_range", "Every id is in its vocabulary, every index in the codebook.", _ids_in_range
)
LENGTHS = Check("lengths_match", "Every image has as many tokens as its scale schedule.", _lengths)
CONSERVATION = Check(
    "conservation", "Every curated document is there once, or rejected, or errored.", _conservation
)
FEW_ERRORS = Check("few_errors", "Hardly any document ended in an error.", _few_errors)
DECODED_BACK = Check(
    "decoded_back", "Pictures decoded from their tokens are like the originals.", _decoded_back
)
