"""Checks that families share: thresholds hold for what was kept, and the published pictures decode."""

from __future__ import annotations

import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import catalogue, kept
from infra import storage
from jobs.recipe import Filters

DECODED = 64
"""Pictures of each tar that the decoding check opens, spread evenly over it."""


def _thresholds(output: Published) -> Verdict:
    filters: Filters = output.settings.filters
    tests: dict[str, Callable[[dict[str, float]], bool]] = {
        "min_side": lambda row: min(row["width"], row["height"]) >= filters.min_side,
        "max_aspect": lambda row: _aspect(row) <= filters.max_aspect,
        "max_bytes": lambda row: row["bytes"] <= filters.max_bytes,
        "max_pixels": lambda row: row["width"] * row["height"] <= filters.max_pixels,
        "min_entropy": lambda row: row["entropy"] >= filters.min_entropy,
        "min_sharpness": lambda row: row["sharpness"] >= filters.min_sharpness,
        "max_border": lambda row: row["border"] <= filters.max_border,
        "max_frame": lambda row: row["frame"] <= filters.max_frame,
    }
    rows = kept(output).to_pylist()
    problems = [
        f"{row['source']} was kept against {name}"
        for row in rows
        for name, holds in tests.items()
        if not holds(row)
    ]
    return no_problems(problems, f"{len(rows)} kept records satisfy {len(tests)} thresholds", kept=len(rows))


def _aspect(row: dict[str, float]) -> float:
    return max(row["width"], row["height"]) / max(1, min(row["width"], row["height"]))


def _duplicates(output: Published) -> Verdict:
    rows = catalogue(output).to_pylist()
    stay = [row for row in rows if row["status"] == "kept"]
    ids = {row["sample_id"] for row in stay}
    doubled = [r for r in rows if r["status"] == "rejected" and r["reason"].endswith("_duplicate")]
    problems = [
        f"{row['source']} repeats nothing that was kept" for row in doubled if row["duplicate_of"] not in ids
    ]
    equal = Counter(row["sha256"] for row in stay)
    problems += [f"{n} kept pictures have the checksum {sha256}" for sha256, n in equal.items() if n > 1]
    fine = f"{len(doubled)} duplicates, each of a picture that stays"
    return no_problems(problems, fine, duplicates=len(doubled))


def _decodable(output: Published) -> Verdict:
    problems: list[str] = []
    opened = 0
    for path in output.manifest.paths(".tar"):
        members = list(_picture_names(output, path))
        chosen = set(members[:: max(1, -(-len(members) // DECODED))])
        for name, data in _members(output, path, chosen):
            opened += 1
            if problem := _problem(data):
                problems.append(f"{path}: {name} {problem}")
    return no_problems(problems, f"{opened} pictures decode", opened=opened)


def _problem(data: bytes) -> str | None:
    """Why a picture cannot be decoded, or None."""
    from jobs.images import DecodeError, decode_reduced

    try:
        decode_reduced(data, 1, sys.maxsize)  # how many pixels are too many was for curation to say
    except DecodeError as error:
        return f"does not decode: {error.detail}"
    return None


def _picture_names(output: Published, path: str) -> Iterator[str]:
    return (name for name, _ in _members(output, path, None) if not name.endswith(".json"))


def _members(output: Published, path: str, wanted: set[str] | None) -> Iterator[tuple[str, bytes]]:
    """Members of a tar; their content where they are wanted."""
    with (
        storage.open_input(storage.join(output.folder, path)) as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        for member in tar:
            if wanted is None:
                yield member.name, b""
            elif member.name in wanted:
                content = tar.extractfile(member)
                yield member.name, content.read() if content else b""


def _documents(output: Published) -> Verdict:
    expected = {f"{value:016x}.json" for value in kept(output)["sample_id"].to_pylist()}
    found = [
        name
        for path in output.manifest.paths(".tar")
        for name, _ in _members(output, path, None)
        if name.endswith(".json")
    ]
    problems = [f"document {name} is not published" for name in sorted(expected - set(found))]
    problems += [f"document {name} is published but not kept" for name in sorted(set(found) - expected)]
    problems += [f"document {name} is published {n} times" for name, n in Counter(found).items() if n > 1]
    return no_problems(problems, f"{len(found)} documents, as the catalogue says", documents=len(found))


THRESHOLDS = Check("thresholds_hold", "Every kept record satisfies every threshold.", _thresholds)
DUPLICATES = Check("duplicates_stay_once", "Of equal pictures one stays, and is named.", _duplicates)
DECODABLE = Check("decodable", f"Published pictures decode: {DECODED} of each tar.", _decodable)
DOCUMENTS = Check("documents_published", "The tars hold each kept record once, and no other.", _documents)
