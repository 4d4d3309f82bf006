"""What asking came to: how many answers of which kind, tokens, and their cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.errors import UserError
from jobs.recipe.vlm import OpenAiEndpoint, VlmSettings
from jobs.vlm.question import Reply


class Usage(BaseModel):
    """Counts of replies. `asked` is the sum of `answered` and the four problems.

    Tokens and cost are those of the answers, whether they came now or were stored before, so that a run that
    was killed and continued publishes the same figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    asked: int = 0
    answered: int = 0
    refused: int = 0
    malformed: int = 0
    unreachable: int = 0
    no_answer: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    """In the currency of the recipe's prices."""

    def __add__(self, other: Usage) -> Usage:
        ours, theirs = self.model_dump(), other.model_dump()
        return Usage(**{name: ours[name] + theirs[name] for name in ours})


def usage(replies: Iterable[Reply[Any]], settings: VlmSettings | None = None) -> dict[str, Any]:
    """What replies came to, for a receipt or a manifest's metadata; `settings` has the prices.

    `merge_usage` adds up those of several units.
    """
    counts: Counter[str] = Counter()
    for reply in replies:
        counts[reply.problem or "answered"] += 1
        counts["asked"] += 1
        if reply.answer is not None:
            counts["prompt_tokens"] += reply.prompt_tokens
            counts["completion_tokens"] += reply.completion_tokens
    return Usage(**counts, cost=_cost(counts, settings)).model_dump()


def merge_usage(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One of several `usage`s, such as those in the receipts of a stage's units."""
    return sum((Usage.model_validate(part) for part in parts), Usage()).model_dump()


def check_reached(replies: Sequence[Reply[Any]], settings: VlmSettings) -> None:
    """Make sure that what was asked of a unit of work did reach somebody, before the unit is finished.

    Raises:
        UserError: no question was answered, because nobody could be reached.
    """
    lost = sum(reply.problem == "unreachable" for reply in replies)
    if lost and all(reply.problem in ("unreachable", "no_answer") for reply in replies):
        where = settings.base_url if isinstance(settings, OpenAiEndpoint) else "vlm"
        mend = "Look after the server, then run again: what was answered is kept"
        raise UserError(f"none of {len(replies)} questions was answered, {lost} reached nobody", where, mend)


def _cost(counts: Counter[str], settings: VlmSettings | None) -> float:
    if not isinstance(settings, OpenAiEndpoint):
        return 0.0
    of_prompts = counts["prompt_tokens"] * settings.input_price
    return (of_prompts + counts["completion_tokens"] * settings.output_price) / 1_000_000
