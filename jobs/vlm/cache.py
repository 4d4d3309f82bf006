"""Answers kept for other runs, each with what it took: one JSON file each, named by all that decides it.

Only answers that fit their schema are kept, so a refusal or a broken reply is asked anew next time. Two
workers may write the same file: each write is whole, and either is an answer to the question.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from infra import storage
from infra.errors import UserError
from jobs.vlm.question import A, Question, Reply

_LIMIT = 1 << 20
"""Bytes of one answer."""


class _Entry(BaseModel):
    """A file's content: the answer, and the tokens of all attempts that led to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    answer: dict[str, Any]
    prompt_tokens: int
    completion_tokens: int


class AnswerCache:
    """A folder of answers, local or on S3."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def get(self, name: str, question: Question[A]) -> Reply[A] | None:
        """The answer of that name; None where there is none, or none that can be read and fits."""
        uri = self._uri(name)
        if not storage.exists(uri):
            return None
        try:
            entry = _Entry.model_validate_json(storage.read_bytes(uri, _LIMIT))
            answer = question.answer.model_validate(entry.answer)
        except (ValidationError, UserError):
            return None
        took = {"prompt_tokens": entry.prompt_tokens, "completion_tokens": entry.completion_tokens}
        return Reply(question.key, answer, None, cached=True, **took)

    def put(self, name: str, reply: Reply[A]) -> None:
        """Keep a reply that has an answer."""
        assert reply.answer is not None, "only answers are kept"
        answer = reply.answer.model_dump(mode="json", by_alias=True)
        took = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
        entry = _Entry(answer=answer, **took)
        storage.publish_bytes(self._uri(name), entry.model_dump_json().encode())

    def _uri(self, name: str) -> str:
        return storage.join(self._folder, "vlm", name[:2], f"{name}.json")
