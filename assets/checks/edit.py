"""Checks of edits: sizes match and thresholds hold, no bad edit or subset stays, tasks have their shares."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pyarrow.compute as pc

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import CATALOGUE, kept
from infra import storage
from infra.manifest import read_table
from jobs.recipe.curation.edit import TASKS, EditFilters

DROPPED = "data/dropped.parquet"

_VERDICT = ["task", "judge", "changed", "follows", "score"]
"""Columns that decide whether an edit is bad."""

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
        for subset, wrong in _verdicts(folder, settings):
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


def _verdicts(folder: str, settings: Any) -> Iterator[tuple[str, bool]]:
    """Subset of each edit that says something of it, and whether the edit is bad."""
    for row in read_table(storage.join(folder, CATALOGUE), ["subset", "status", *_VERDICT]).to_pylist():
        if row["status"] == "kept":
            yield row["subset"], _is_bad(row, settings)
    earlier = read_table(storage.join(folder, "data/earlier.parquet"), ["subset", "reason"])
    for subset in earlier.filter(pc.equal(earlier["reason"], "unchanged"))["subset"].to_pylist():
        yield subset, True


def _is_bad(row: Row, settings: Any) -> bool:
    """Whether an edit does not follow its instruction, or changes all though its task is local."""
    local = any(task == row["task"] and kind == "local" for task, kind in TASKS.items())
    asked = settings.max_changed is not None and row["judge"] == "measured" and local
    everything = asked and row["changed"] > settings.max_changed
    return not row["follows"] or row["score"] < settings.min_score or everything


def _no_bad(output: Published) -> Verdict:
    (folder,) = output.inputs["edit/subsets"]
    dropped = set(read_table(storage.join(folder, DROPPED))["subset"].to_pylist())
    rows = kept(output).to_pylist()
    problems = [
        f"{r['source']} is of subset {r['subset']!r}, which goes" for r in rows if r["subset"] in dropped
    ]
    problems += [
        f"{r['source']} was kept with score {r['score']} and {r['changed']:.0%} of its pixels changed"
        for r in rows
        if _is_bad(r, output.settings)
    ]
    return no_problems(problems, f"{len(rows)} edits follow their instruction", kept=len(rows))


def _form(output: Published) -> Verdict:
    """From the published documents: what is read, and what is learnt."""
    problems: list[str] = []
    number = 0
    for path in output.manifest.paths(".tar"):
        for document in _documents(output, path):
            number += 1
            if problem := _form_problem(document):
                problems.append(f"{path}: {document['sample_id']:016x} {problem}")
    return no_problems(problems, f"{number} documents: pictures, instruction, picture", documents=number)


def _form_problem(document: Row) -> str | None:
    if len(document["segments"]) < 2:
        return f"has {len(document['segments'])} segments"
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
    """Recounted from the catalogue and the recipe's target: of each task its quota stays, or all there is."""
    table = output.table(CATALOGUE, ["task", "reason"])
    counts = Counter(zip(table["task"].to_pylist(), table["reason"].to_pylist(), strict=True))
    stay = {task: counts[task, None] for task in sorted({task for task, _ in counts})}
    # Quotas alone decide about all that is no duplicate.
    available = {task: number + counts[task, "over_quota"] for task, number in stay.items()}
    target, met = output.settings.target, Fraction(str(output.settings.met))
    weights = {task: Fraction(str(target.get(task, 0))) for task in stay if available[task]}
    factor = _largest_factor(available, weights, met)
    quotas = {task: int(factor * weight) for task, weight in weights.items()}
    problems = [
        f"{task} keeps {stay[task]} of {available[task]} edits, its quota is {quota}"
        for task, quota in quotas.items()
        if stay[task] != min(available[task], quota)
    ]
    edits = sum(stay.values())
    return no_problems(problems, f"{edits} edits of {len(stay)} tasks in the target's shares", edits=edits)


def _largest_factor(available: dict[str, int], weights: dict[str, Fraction], met: Fraction) -> Fraction:
    """By which weights become quotas: the largest at which tasks that have enough are together at least
    `met` of the target."""
    ends = {task: available[task] / weight for task, weight in weights.items() if weight}

    def enough(factor: Fraction) -> Fraction:
        return sum((weights[task] for task, end in ends.items() if end >= factor), Fraction(0))

    least = met * enough(Fraction(0))
    return max((end for end in ends.values() if enough(end) >= least), default=Fraction(0))


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
    "task_shares", "Of each task stays its quota by the target, or all there is.", _task_shares
)
