"""The source's own text, and what was measured, answer. Nothing is downloaded and no one is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobs.vlm.question import A, Problem, Question, Reply


class SourceVlm:
    """Gives back what each question brings along as its `own` answer."""

    def ask(self, questions: Iterable[Question[A]]) -> Iterator[Reply[A]]:
        """`own` of every question; `no_answer` where it has none."""
        for question in questions:
            problem: Problem | None = "no_answer" if question.own is None else None
            yield Reply(question.key, question.own, problem)
