"""Checks of the curation of understanding: shares of tasks, and the limits of dialogues."""

from __future__ import annotations

import math
from collections import Counter

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import catalogue, kept

_CHANCE = 1e-9
"""Pictures are drawn by lot: numbers as far off as those of a right job are this rarely are a mistake."""


def _tasks(output: Published) -> Verdict:
    """Pictures are drawn by lot among those without text in them."""
    table = catalogue(output)
    tasks = Counter(table["task"].to_pylist())
    drawn = len(table) - tasks["text_rich"]
    problems = []
    for name in ("rewritten", "knowledge", "inverted"):
        share = getattr(output.settings, name)
        if _tail(tasks[name], drawn, share) < _CHANCE:
            problems.append(f"{name} has {tasks[name]} of {drawn} pictures, its share is {share:.1%}")
    shares = {str(name): number for name, number in tasks.items() if name}
    return no_problems(problems, f"{len(shares)} tasks have their shares", **shares)


def _tail(number: int, drawn: int, share: float) -> float:
    """The probability that a lot gives a share of all drawn this number, or one still further off."""
    if share in (0, 1):
        return float(number == drawn * share)
    counts = range(number + 1) if number < drawn * share else range(number, drawn + 1)
    ways = math.lgamma(drawn + 1)
    return sum(
        math.exp(
            ways
            - math.lgamma(count + 1)
            - math.lgamma(drawn - count + 1)
            + count * math.log(share)
            + (drawn - count) * math.log1p(-share)
        )
        for count in counts
    )


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
