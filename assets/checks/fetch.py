"""Checks of fetching: the tars hold what the ledger says, within the recipe's limits, and enough came."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from typing import Any

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import catalogue
from infra import storage
from jobs.recipe.sources import Fetch, Mix, UrlSource

HASHED = 64
"""Pictures of each tar whose checksum is taken, spread evenly over it."""

Row = dict[str, Any]


def _as_listed(output: Published) -> Verdict:
    expected = {(row["tar"], row["member"]): row for row in _links(output) if row["status"] == "kept"}
    problems, hashed = [], 0
    for path in output.manifest.paths(".tar"):
        listed = sum(tar == path for tar, _ in expected)
        for number, (name, size, checksum) in enumerate(_members(output, path, max(1, listed // HASHED))):
            row = expected.pop((path, name), None)
            hashed += checksum is not None
            if row is None:
                problems.append(f"{path}: {name} is published but not kept")
            elif row["bytes"] != size or checksum not in (None, row["sha256"]):
                problems.append(f"{path}: {name}, picture {number}, is not what was fetched")
    problems += [f"{tar}: {name} is not published" for tar, name in sorted(expected, key=str)]
    return no_problems(problems, f"the tars are as the ledger says, {hashed} checksums taken", hashed=hashed)


def _members(output: Published, path: str, step: int) -> Iterator[tuple[str, int, str | None]]:
    """Name and size of each picture of a tar, and of every `step`-th its checksum."""
    number = 0
    with (
        storage.open_input(storage.join(output.folder, path)) as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        for member in tar:
            if member.name.endswith(".json"):
                continue
            content = tar.extractfile(member) if number % step == 0 else None
            yield member.name, member.size, hashlib.sha256(content.read()).hexdigest() if content else None
            number += 1


def _within_limits(output: Published) -> Verdict:
    rows = [row for row in _links(output) if row["status"] == "kept"]
    problems = []
    for row in rows:
        limits = _limits(output, row["part"])
        if row["http_status"] != 200:
            problems.append(f"{row['source']} was kept with HTTP {row['http_status']}")
        if not 0 < row["bytes"] <= limits.max_bytes:
            problems.append(f"{row['source']} has {row['bytes']} bytes, the limit is {limits.max_bytes}")
    return no_problems(problems, f"{len(rows)} pictures are within the limits", kept=len(rows))


def _enough(output: Published) -> Verdict:
    rows = _links(output)
    problems, errored = [], 0
    for part in sorted({row["part"] for row in rows}):
        statuses = [row["status"] for row in rows if row["part"] == part]
        number, limit = statuses.count("errored"), _limits(output, part).max_errored
        errored += number
        if number > limit * len(statuses):
            share = f"{number} of {len(statuses)} URLs{f' of {part!r}' if part else ''} could not be reached"
            problems.append(f"{share}, the limit is {limit:.0%}: raise fetch.round to try them again")
    return no_problems(problems, f"{errored} of {len(rows)} URLs could not be reached", errored=errored)


def _links(output: Published) -> list[Row]:
    """The rows of URLs."""
    columns = ["source", "status", "url", "http_status", "bytes", "sha256", "part", "tar", "member"]
    return [row for row in catalogue(output).select(columns).to_pylist() if row["url"] is not None]


def _limits(output: Published, part: str) -> Fetch:
    source = output.settings.source
    one = source.parts[part] if isinstance(source, Mix) else source
    assert isinstance(one, UrlSource), f"part {part!r} lists no URLs"
    return one.fetch


AS_LISTED = Check(
    "as_listed", f"Tars hold each kept picture once: sizes, and {HASHED} checksums of each.", _as_listed
)
WITHIN_LIMITS = Check("within_limits", "What was kept came whole and within the size limit.", _within_limits)
ENOUGH = Check("enough", "No more URLs than the recipe allows are left to be tried again.", _enough)
