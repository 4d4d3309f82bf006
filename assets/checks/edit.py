"""Checks of edits: sizes match and thresholds hold, no bad edit or subset stays, tasks have their shares."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import CATALOGUE, kept
from infra import storage
from infra.manifest import read_table
from jobs.recipe.curation.edit import TASKS, EditFilters

TOLERANCE = 0.02
"""Share by which what stays of a task may differ from its quota; or one edit, where that is more."""

DROPPED = "data/dropped.parquet"

Row = dict[str, Any]


def _matched(output: Published) -> Verdict:
    filters: EditFilters = output.settings.filters
    rows = kept(output).to_pylist()
    problems = [f"{row['source']} was kept {why}" for row in rows for why in _mismatches(row, filters)]
    return no_problems(problems, f"{len(rows)} kept edits satisfy every threshold", kept=len(rows))


def _mismatches(row: Row, filters: EditFilters) -> Iterator[str]:
    (width, height), (new_width, new_height) = (
        (row["width"][at], row["height"][at]) for at in (row["compared"], -1)
    )
    if min(*row["width"], *row["height"]) < filters.min_side:
        yield "with a side that is too short"
    aspect = (width / height) / (new_width / new_height)
    if max(aspect, 1 / aspect) - 1 > filters.max_aspect_difference + 1e-9:
        yield f"though {width}x{height} became {new_width}x{new_height}"
    factor = max(width / new_width, new_width / width, height / new_height, new_height / height)
    if filters.max_size_difference is not None and factor - 1 > filters.max_size_difference + 1e-9:
        yield f"though {width}x{height} became {new_width}x{new_height}"
    if not filters.min_characters <= len(row["instruction"]) <= filters.max_characters:
        yield f"with an instruction of {len(row['instruction'])} characters"
    if row["changed"] < filters.min_changed:
        yield "unchanged"


def _judged(output: Published) -> Verdict:
    rows = kept(output).to_pylist()
    problems = [f"{row['source']} has no verdict" for row in rows if not _has_verdict(row)]
    problems += [f"{row['source']} is of task {row['task']!r}" for row in rows if not _is_task(row["task"])]
    return no_problems(problems, f"{len(rows)} edits have a verdict and a task", judged=len(rows))


def _has_verdict(row: Row) -> bool:
    told = isinstance(row["follows"], bool) and isinstance(row["score"], int) and bool(row["verdict"])
    return told and 0 <= row["score"] <= 10


def _is_task(task: str | None) -> bool:
    return task in TASKS or task == "other"


def _subsets(output: Published) -> Verdict:
    """Recounted from the verdicts of all drops."""
    settings = output.settings
    dropped = set(output.table(DROPPED)["subset"].to_pylist())
    judged: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for folder in output.inputs["edit/judged"]:
        for subset, wrong in _verdicts(folder, settings.min_score):
            judged[subset] += 1
            bad[subset] += wrong
    problems = []
    for subset, number in judged.items():
        share = bad[subset] / number
        must_go = number >= settings.min_judged and share > settings.max_bad
        if must_go != (subset in dropped):
            problems.append(f"subset {subset!r} with {share:.1%} bad edits {'stays' if must_go else 'goes'}")
    worst = max((bad[s] / n for s, n in judged.items() if s not in dropped), default=0.0)
    fine = (
        f"{len(dropped)} of {len(judged)} subsets go; of those that stay the worst has {worst:.1%} bad edits"
    )
    return no_problems(problems, fine, subsets=len(judged), dropped=len(dropped))


def _verdicts(folder: str, min_score: int) -> Iterator[tuple[str, bool]]:
    """Subset of each edit that says something of it, and whether the edit is bad."""
    rows = read_table(storage.join(folder, CATALOGUE), ["subset", "status", "follows", "score"]).to_pylist()
    for row in rows:
        if row["status"] == "kept":
            yield row["subset"], not row["follows"] or row["score"] < min_score
    earlier = read_table(storage.join(folder, "data/earlier.parquet"), ["subset", "reason"])
    for subset in earlier.filter(pc.equal(earlier["reason"], "unchanged"))["subset"].to_pylist():
        yield subset, True


def _no_bad(output: Published) -> Verdict:
    (folder,) = output.inputs["edit/subsets"]
    dropped = set(read_table(storage.join(folder, DROPPED))["subset"].to_pylist())
    rows = kept(output).to_pylist()
    lowest = output.settings.min_score
    problems = [
        f"{r['source']} is of subset {r['subset']!r}, which goes" for r in rows if r["subset"] in dropped
    ]
    problems += [
        f"{r['source']} was kept with score {r['score']}"
        for r in rows
        if not r["follows"] or r["score"] < lowest
    ]
    return no_problems(problems, f"{len(rows)} edits follow their instruction", kept=len(rows))


def _form(output: Published) -> Verdict:
    """From the published documents: what is read, what is learnt, and that both are of one size."""
    problems: list[str] = []
    number = 0
    for path in output.manifest.paths(".tar"):
        for document in _documents(output, path):
            number += 1
            if problem := _form_problem(document):
                problems.append(f"{path}: {document['sample_id']:016x} {problem}")
    return no_problems(problems, f"{number} documents: pictures, instruction, picture", documents=number)


def _form_problem(document: Row) -> str | None:
    *before, text, after = document["segments"]
    kinds = [segment["kind"] for segment in before]
    if document["family"] != "edit" or not before or set(kinds) != {"image"}:
        return f"is {document['family']} of {kinds}"
    if text["kind"] != "text" or not text["text"].strip() or after["kind"] != "image":
        return "has no instruction before its last picture"
    if any(segment["loss"] for segment in (*before, text)) or not after["loss"]:
        return "does not teach its last picture alone"
    if not _is_task(document["metadata"].get("task")):
        return f"is of task {document['metadata'].get('task')!r}"
    return None


def _documents(output: Published, path: str) -> Iterator[Row]:
    with (
        storage.open_input(storage.join(output.folder, path)) as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".json") else None
            if content is not None:
                yield json.loads(content.read())


def _task_shares(output: Published) -> Verdict:
    """Recounted from the catalogue: tasks with edits left over stand to each other as in the target, and no
    task has more than its weight."""
    table = output.table(CATALOGUE, ["task", "reason"])
    counts = Counter(zip(table["task"].to_pylist(), table["reason"].to_pylist(), strict=True))
    stay = {task: counts[task, None] for task in sorted({task for task, _ in counts})}
    weights = {task: output.settings.target.get(task, 0.0) for task in stay}
    problems = [f"{task} stays without a weight" for task in stay if stay[task] and not weights[task]]
    left = [task for task, weight in weights.items() if weight and counts[task, "over_quota"]]
    # Edits that stay are whole numbers, so the size of the mix is known from below and from above.
    least = max((stay[task] / weights[task] for task in left), default=0.0)
    most = min(((stay[task] + 1) / weights[task] for task in left), default=float("inf"))
    for task, weight in weights.items():
        room = max(1.0, TOLERANCE * stay[task])
        if task in left and stay[task] < least * weight - room:
            problems.append(f"{task} keeps {stay[task]} edits, the target asks for {least * weight:.0f}")
        if weight and stay[task] > most * weight + room:
            problems.append(f"{task} keeps {stay[task]} edits, the target allows {most * weight:.0f}")
    fine = f"{sum(stay.values())} edits of {len(stay)} tasks in the target's shares"
    return no_problems(problems, fine, edits=sum(stay.values()), with_edits_left=len(left))


MATCHED = Check(
    "sizes_match", "Every kept edit has pictures of one size and satisfies every threshold.", _matched
)
JUDGED = Check("all_judged", "Every kept edit has a verdict, a score and a task.", _judged)
SUBSETS = Check("bad_subsets_go", "Subsets with too many bad edits go, and no others.", _subsets)
NO_BAD = Check("no_bad_edits", "No bad edit and none of a dropped subset was kept.", _no_bad)
FORM = Check(
    "document_form", "Documents are pictures and an instruction, then the picture to be learnt.", _form
)
TASK_SHARES = Check(
    "task_shares", "Tasks have their shares of the target, within 2% of their quotas.", _task_shares
)
