"""How often the pictures are what was asked for, by kind of prompt, beside what chance would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.scenes.prompts import chance_level


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts and, where the truth is known, accuracy: shares of pictures of which every clause holds."""
    counted = {"prompts": len({row["prompt"] for row in rows}), "pictures": len(rows)}
    scored = [row for row in rows if row["tag"] is not None]
    if not scored:
        return counted
    by_tag: dict[str, list[dict[str, Any]]] = {}
    for row in scored:
        by_tag.setdefault(row["tag"], []).append(row)
    chance = {tag: chance_level(tag) for tag in by_tag}
    return counted | {
        "accuracy": {tag: _mean(mine, "passed") for tag, mine in by_tag.items()},
        "chance": chance,
        "samples": {tag: len(mine) for tag, mine in by_tag.items()},
        "overall_accuracy": _mean(scored, "passed"),
        "overall_chance": sum(chance[row["tag"]] for row in scored) / len(scored),
        "clause_accuracy": _mean(scored, "score"),
    }


def _mean(rows: Sequence[dict[str, Any]], column: str) -> float:
    return sum(float(row[column]) for row in rows) / len(rows)
