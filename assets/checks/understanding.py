"""Checks of the curation of understanding: shares of tasks, and the limits of dialogues."""

from __future__ import annotations

import math
from collections import Counter

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import catalogue, kept

_DEVIATIONS = 5
"""Standard deviations by which a share of pictures drawn by lot may differ: one in two million does."""


def _tasks(output: Published) -> Verdict:
    """Pictures are drawn by lot among those without text in them."""
    table = catalogue(output)
    tasks = Counter(table["task"].to_pylist())
    drawn = len(table) - tasks["text_rich"]
    problems = []
    for name in ("rewritten", "knowledge", "inverted"):
        share = getattr(output.settings, name)
        room = _DEVIATIONS * math.sqrt(drawn * share * (1 - share)) + 1e-9
        if abs(tasks[name] - drawn * share) > room:
            problems.append(f"{name} has {tasks[name]} of {drawn} pictures, its share is {share:.1%}")
    shares = {str(name): number for name, number in tasks.items() if name}
    return no_problems(problems, f"{len(shares)} tasks have their shares", **shares)


def _limits(output: Published) -> Verdict:
    limits = output.settings.dialogues
    problems = []
    rows = kept(output).to_pylist()
    for row in rows:
        sides = [min(picture["width"], picture["height"]) for picture in row["pictures"]]
        if min(sides, default=limits.min_side) < limits.min_side:
            problems.append(f"{row['source']} was kept with a side of {min(sides)} pixels")
        if row["characters"] > limits.max_characters:
            problems.append(f"{row['source']} was kept with {row['characters']} characters")
    return no_problems(problems, f"{len(rows)} kept dialogues are within their limits", kept=len(rows))


TASKS = Check("task_shares", "Every task has its share of the pictures.", _tasks)
LIMITS = Check("limits_hold", "Every kept dialogue is within the limits.", _limits)
