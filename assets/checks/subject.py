"""Checks of subject curation: groups can be paired, pairs are of one group and once, documents show both."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from typing import Any

import numpy as np

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import CATALOGUE, kept
from infra import storage
from infra.manifest import read_table

_UNIT_LENGTH = 1e-3
"""By which the length of an embedding may differ from one."""


def _embeddings(output: Published) -> Verdict:
    problems: list[str] = []
    widths: dict[str, int] = {}
    for path in output.manifest.paths(".embeddings.parquet"):
        table = output.table(path)
        for source, data in zip(table["source"].to_pylist(), table["embedding"].to_pylist(), strict=True):
            vector = np.frombuffer(data, "<f2").astype(np.float64)
            widths[source] = len(vector)
            # A length that is not a number compares as wrong, which it is.
            if not abs(float(np.linalg.norm(vector)) - 1) <= _UNIT_LENGTH:
                problems.append(f"the embedding of {source} is not of length one")
    missing = set(kept(output)["source"].to_pylist()) - widths.keys()
    problems += [f"{source} is not embedded" for source in sorted(missing)]
    if len(set(widths.values())) > 1:
        problems.append(f"embeddings have widths {sorted(set(widths.values()))}")
    return no_problems(problems, f"{len(widths)} pictures are embedded", pictures=len(widths))


def _groups(output: Published) -> Verdict:
    rows = kept(output)
    sizes = Counter(rows["group"].to_pylist())
    limit = output.settings.max_group
    problems = [
        f"group {group} kept {n} pictures, not 2 to {limit}"
        for group, n in sizes.items()
        if not 2 <= n <= limit
    ]
    files = Counter(zip(rows["group"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    problems += [f"group {group} kept the same file {n} times" for (group, _), n in files.items() if n > 1]
    return no_problems(problems, f"{len(sizes)} groups of 2 to {limit} pictures", groups=len(sizes))


def _similarity(output: Published) -> Verdict:
    rows = kept(output)
    low, high = output.settings.min_similarity, output.settings.max_similarity
    problems = [
        f"{source} was kept with a similarity of {value:g}, not {low:g} to {high:g}"
        for source, value in zip(rows["source"].to_pylist(), rows["similarity"].to_pylist(), strict=True)
        if not low <= value <= high
    ]
    used = Counter(rows["reference"].to_pylist()) + Counter(rows["target"].to_pylist())
    most = output.settings.pairs_per_picture
    problems += [
        f"{source} stands in {n} pairs, the limit is {most}" for source, n in used.items() if n > most
    ]
    return no_problems(problems, f"{len(rows)} pairs within both limits", pairs=len(rows))


def _every_pair(output: Published) -> Verdict:
    """Recounted from the pictures of each group: n of them are n (n - 1) / 2 pairs."""
    (folder,) = output.inputs["subject/grouped"]
    pictures = read_table(storage.join(folder, CATALOGUE), ["source", "status", "group"]).to_pylist()
    sizes = Counter(row["group"] for row in pictures if row["status"] == "kept")
    rows = output.table(CATALOGUE, ["group", "reference", "target"]).to_pylist()
    found = Counter(row["group"] for row in rows)
    distinct = {(row["group"], frozenset((row["reference"], row["target"]))) for row in rows}
    different = Counter(group for group, _ in distinct)
    problems = [
        f"group {group} has {sizes[group]} pictures, and {different[group]} pairs in {found[group]} rows"
        for group in sorted(sizes | found)
        if not different[group] == found[group] == sizes[group] * (sizes[group] - 1) // 2
    ]
    return no_problems(problems, f"{len(rows)} pairs of {len(sizes)} groups", pairs=len(rows))


def _no_pair_twice(output: Published) -> Verdict:
    rows = kept(output)
    sides = zip(rows["reference"].to_pylist(), rows["target"].to_pylist(), strict=True)
    pairs = Counter(frozenset(pair) for pair in sides)
    problems = [f"{' and '.join(sorted(pair))} are a pair {n} times" for pair, n in pairs.items() if n > 1]
    problems += [f"{min(pair)} is paired with itself" for pair in pairs if len(pair) < 2]
    return no_problems(problems, f"{len(pairs)} pairs, each once in one direction", pairs=len(pairs))


def _same_group(output: Published) -> Verdict:
    (folder,) = output.inputs["subject/grouped"]
    pictures = read_table(storage.join(folder, CATALOGUE), ["source", "status", "group"]).to_pylist()
    group_of = {row["source"]: row["group"] for row in pictures if row["status"] == "kept"}
    rows = kept(output).select(["source", "group", "reference", "target"]).to_pylist()
    problems = [
        f"{row['source']} is a pair of group {row['group']}, its pictures are not"
        for row in rows
        if {group_of.get(row["reference"]), group_of.get(row["target"])} != {row["group"]}
    ]
    return no_problems(problems, f"{len(rows)} pairs of pictures of one group", pairs=len(rows))


def _pair_documents(output: Published) -> Verdict:
    problems: list[str] = []
    total = 0
    for path in output.manifest.paths(".tar"):
        with (
            storage.open_input(storage.join(output.folder, path)) as stream,
            tarfile.open(fileobj=stream, mode="r:") as tar,
        ):
            for member in tar:
                content = tar.extractfile(member) if member.name.endswith(".json") else None
                if content is not None:
                    total += 1
                    problems += _document_problems(member.name, json.loads(content.read()))
    return no_problems(problems, f"{total} documents show one picture and ask for another", documents=total)


def _document_problems(name: str, document: dict[str, Any]) -> list[str]:
    segments = document["segments"]
    if [(s["kind"], s["loss"]) for s in segments] != [("image", False), ("text", False), ("image", True)]:
        return [f"{name} is not a reference, an instruction and a target that alone is supervised"]
    problems = []
    if segments[0]["sha256"] == segments[2]["sha256"]:
        problems.append(f"{name} asks for the very picture it shows")
    if not segments[1]["text"].strip():
        problems.append(f"{name} has no instruction")
    return problems


EMBEDDINGS = Check("embeddings", "Every picture has an embedding of length one.", _embeddings)
GROUPS = Check(
    "groups_pairable", "Every group has at least two different pictures, and not too many.", _groups
)
SIMILARITY = Check(
    "similarity_holds", "Every kept pair is within the limits, and no picture in too many.", _similarity
)
EVERY_PAIR = Check("every_pair", "Every pair of two pictures of a group was considered once.", _every_pair)
NO_PAIR_TWICE = Check("no_pair_twice", "No two pictures are a pair twice, in whatever order.", _no_pair_twice)
SAME_GROUP = Check("same_group", "Both pictures of a pair are of its group.", _same_group)
PAIR_DOCUMENTS = Check(
    "pair_documents",
    "Every document shows one picture, tells what to draw, and asks for another.",
    _pair_documents,
)
