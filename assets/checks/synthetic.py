"""Checks of edits that are made: pictures of one size that differ visibly, and every task accounted for."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import catalogue, kept
from infra import storage

COMPARED = 64
"""Edits of each tar whose pictures are compared, spread evenly over it."""

_VISIBLE = 8
"""Of 255, in some channel."""


def _changed(output: Published) -> Verdict:
    least = output.settings.synthetic.min_changed
    rows = kept(output).to_pylist()
    problems = [
        f"{row['source']} was kept with {row['changed']:.2%} changed"
        for row in rows
        if row["changed"] < least
    ]
    compared = 0
    for path in output.manifest.paths(".tar"):
        for name, before, after in _pairs(output, path):
            compared += 1
            if problem := _difference_problem(before, after):
                problems.append(f"{path}: {name} {problem}")
    fine = f"{len(rows)} edits change at least {least:.2%} of their pixels; {compared} were compared"
    return no_problems(problems, fine, kept=len(rows), compared=compared)


def _difference_problem(before: bytes, after: bytes) -> str | None:
    """What is wrong with two pictures as an edit, or None."""
    from PIL import ImageChops

    from jobs.images import DecodeError, decode

    try:
        pictures = [decode(before), decode(after)]
    except DecodeError as error:
        return f"does not decode: {error.reason}"
    if pictures[0].size != pictures[1].size:
        return f"has pictures of {pictures[0].size} and {pictures[1].size}"
    largest = max(ImageChops.difference(*pictures).tobytes())
    return None if largest > _VISIBLE else "has two equal pictures"


def _pairs(output: Published, path: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Some documents of a tar: name, picture before, picture after."""
    with (
        storage.open_input(storage.join(output.folder, path)) as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        names = [name for name in tar.getnames() if name.endswith(".json")]
        for name in names[:: max(1, -(-len(names) // COMPARED))]:
            segments = json.loads(_read(tar, name))["segments"]
            before, after = (_read(tar, s["member"]) for s in segments if s["kind"] == "image")
            yield name, before, after


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    return content.read() if content else b""


def _tasks(output: Published) -> Verdict:
    told: dict[str, dict[str, Any]] = output.manifest.metadata["tasks"]
    planned = Counter(catalogue(output)["task"].to_pylist())
    stayed = Counter(kept(output)["task"].to_pylist())
    problems = []
    for task in sorted(planned.keys() | told.keys()):
        figures = told.get(task, {})
        if (figures.get("planned"), figures.get("kept")) != (planned[task], stayed[task]):
            problems.append(f"{task}: {planned[task]} planned and {stayed[task]} kept, recorded as {figures}")
        if not output.settings.target.get(task):
            problems.append(f"{task} was made without a weight")
    return no_problems(problems, f"{sum(stayed.values())} edits of {len(told)} tasks", tasks=len(told))


CHANGED = Check(
    "pictures_change", "Pictures before and after have one size and differ in enough pixels.", _changed
)
TASKS_RECORDED = Check("tasks_recorded", "Each task's planned and kept edits are on record.", _tasks)
