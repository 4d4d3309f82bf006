"""Is it true? Each claim about a picture, decided from the pixels alone."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from jobs.scenes.captions import phrase
from jobs.scenes.find import Found, Region, find_shapes
from jobs.scenes.truth import Clause, Truth, holds


@dataclass(frozen=True)
class ClauseResult:
    """A claim in words, and whether the picture bears it out."""

    text: str
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """The claims about one picture, each right or wrong."""

    clauses: tuple[ClauseResult, ...]

    @property
    def passed(self) -> bool:
        """Every claim is right."""
        return all(clause.passed for clause in self.clauses)

    @property
    def score(self) -> float:
        """Share of the claims that are right."""
        return sum(clause.passed for clause in self.clauses) / len(self.clauses)


def verify(image: Image.Image, truth: Truth) -> Verdict:
    """Check each claim of `truth` against a square picture of any size.

    One result for each clause of `include`, one more for its position, one for each of `exclude`, and
    one for the background, where claimed.

    Raises:
        ValueError: the truth claims nothing, or a position names no clause.
    """
    results = judge(find_shapes(image), truth)
    if not results:
        raise ValueError("the truth claims nothing")
    return Verdict(results)


def judge(found: Found, truth: Truth) -> tuple[ClauseResult, ...]:
    """The claims of `truth`, one by one, against what was found."""
    results = []
    for clause in truth.include:
        results.append(ClauseResult(_words(clause), len(_matches(found, clause)) >= clause.count))
        if clause.position is not None:
            results.append(_judge_position(found, truth, clause))
    for clause in truth.exclude:
        text = f"fewer than {clause.count} of: {_words(clause)}"
        results.append(ClauseResult(text, len(_matches(found, clause)) < clause.count))
    if truth.background is not None:
        results.append(ClauseResult(f"{truth.background} background", found.background == truth.background))
    return tuple(results)


def _judge_position(found: Found, truth: Truth, clause: Clause) -> ClauseResult:
    """Whether some pair of matching shapes stands in the claimed relation."""
    assert clause.position is not None
    relation, number = clause.position
    if not 0 <= number < len(truth.include):
        raise ValueError(f"position names clause {number} of {len(truth.include)}")
    other = truth.include[number]
    passed = any(
        holds(relation, first.x - second.x, first.y - second.y)
        for first in _matches(found, clause)
        for second in _matches(found, other)
    )
    return ClauseResult(f"{_words(clause)} {relation} {_words(other)}", passed)


def _matches(found: Found, clause: Clause) -> list[Region]:
    return [
        region
        for region in found.regions
        if clause.kind in (None, region.kind)
        and clause.color in (None, region.color)
        and clause.size in (None, region.size)
    ]


def _words(clause: Clause) -> str:
    return phrase(clause.kind or "shape", clause.count, clause.color or "", clause.size or "")
