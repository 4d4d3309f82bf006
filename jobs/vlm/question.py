"""What is asked of a vision-language model, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel

from jobs.images import MAX_PIXELS

A = TypeVar("A", bound=BaseModel)

Problem = Literal["refused", "malformed", "unreachable", "no_answer"]
"""Why a question has no answer, after all attempts.

`refused`: the model or its content filter declined. `malformed`: what came is no answer of the schema.
`unreachable`: the server did not answer; asking later may help. `no_answer`: there is nothing to answer
with: the source has no text for it, the picture cannot be decoded, or the server takes no such question.
"""


@dataclass(frozen=True)
class Question(Generic[A]):
    """One question about pictures, text or both.

    Args:
        key: unique in a call, such as a sample id.
        prompt: name of a file `jobs/vlm/prompts/<name>.md`.
        answer: the pydantic model of the answer, which the model is made to fit.
        images: original bytes of pictures, in the order in which the prompt speaks of them.
        values: what the prompt's `{placeholders}` stand for.
        own: what the source's own text, or a measurement, answers. Only the `source` kind gives it back.
        max_pixels: width times height beyond which none of the pictures is decoded.
    """

    key: str
    prompt: str
    answer: type[A]
    images: tuple[bytes, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    own: A | None = None
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Reply(Generic[A]):
    """What became of a question: either an answer or a problem.

    The tokens are those of all attempts that led to it, also where it was stored before. `attempts` are those
    of now: 0 where it was stored.
    """

    key: str
    answer: A | None
    problem: Problem | None
    attempts: int = 0
    cached: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Vlm(Protocol):
    """Whoever answers."""

    def ask(self, questions: Iterable[Question[A]]) -> Iterator[Reply[A]]:
        """Answer questions in their order, holding few of them at a time.

        Raises:
            UserError: nobody can answer until the user mends the settings.
        """
        ...
