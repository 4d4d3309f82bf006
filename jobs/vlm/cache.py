"""Answers kept for other runs: one JSON file each, named by all that decides it.

Only answers that fit their schema are kept, so a refusal or a broken reply is asked anew next time. Two
workers may write the same file: each write is whole, and either is an answer to the question.
"""

from __future__ import annotations

from pydantic import ValidationError

from infra import storage
from infra.errors import UserError
from jobs.vlm.question import A

_LIMIT = 1 << 20
"""Bytes of one answer."""


class AnswerCache:
    """A folder of answers, local or on S3."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def get(self, name: str, answer: type[A]) -> A | None:
        """The answer of that name; None where there is none, or none that can be read and fits."""
        uri = self._uri(name)
        if not storage.exists(uri):
            return None
        try:
            return answer.model_validate_json(storage.read_bytes(uri, _LIMIT))
        except (ValidationError, UserError):
            return None

    def put(self, name: str, answer: A) -> None:
        """Keep an answer."""
        storage.publish_bytes(self._uri(name), answer.model_dump_json(by_alias=True).encode())

    def _uri(self, name: str) -> str:
        return storage.join(self._folder, "vlm", name[:2], f"{name}.json")
