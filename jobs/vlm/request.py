"""A question made ready to send: its text, its pictures, the schema of its answer, its name in the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

from openai import pydantic_function_tool
from pydantic import ValidationError

from infra.manifest import digest
from jobs.recipe.vlm import Asked
from jobs.vlm.pictures import data_url
from jobs.vlm.prompts import fill_prompt
from jobs.vlm.question import A, Question

Message = dict[str, Any]


@dataclass(frozen=True)
class Request(Generic[A]):
    """What is sent for a question, but for its pictures, which are scaled when they are needed."""

    question: Question[A]
    text: str
    """The prompt, filled."""
    schema: dict[str, Any]
    """JSON schema of the answer, as strict servers want it: nothing optional, nothing besides."""

    def messages(self, max_side: int) -> list[Message]:
        """The one message of the user: the pictures, then the text. Several pictures are numbered.

        Raises:
            DecodeError: a picture cannot be decoded.
        """
        parts: list[Message] = []
        max_pixels = self.question.max_pixels
        for number, data in enumerate(self.question.images, start=1):
            if len(self.question.images) > 1:
                parts.append({"type": "text", "text": f"Picture {number}:"})
            parts.append({"type": "image_url", "image_url": {"url": data_url(data, max_side, max_pixels)}})
        content: Any = [*parts, {"type": "text", "text": self.text}] if parts else self.text
        return [{"role": "user", "content": content}]

    def name(self, settings: Asked) -> str:
        """SHA-256 of everything that decides the answer; not of who runs the model, or where."""
        return digest(
            {
                "images": [hashlib.sha256(data).hexdigest() for data in self.question.images],
                "text": self.text,
                "schema": self.schema,
                **settings.model_dump(include={"model", "temperature", "max_tokens", "max_side"}),
            }
        )

    def parse(self, text: str) -> A | None:
        """The answer in what a model wrote; None where there is none that fits the schema.

        Servers that do not hold a model to the schema may put its JSON in a fence or between sentences,
        and let it think aloud before.
        """
        said = text.rpartition("</think>")[2]
        found = said[said.find("{") : said.rfind("}") + 1]
        try:
            return self.question.answer.model_validate_json(found)
        except ValidationError:
            return None


def prepare(question: Question[A], prompts: Mapping[str, str]) -> Request[A]:
    """Fill a question's prompt.

    Args:
        question: the question.
        prompts: of the recipe, by name; they go before the files.

    Raises:
        UserError: there is no such prompt, or a placeholder has no value.
    """
    text = fill_prompt(question.prompt, question.values, prompts)
    return Request(question, text, answer_schema(question.answer))


def answer_schema(answer: type[Any]) -> dict[str, Any]:
    """JSON schema of an answer as strict servers want it."""
    function: dict[str, Any] = dict(pydantic_function_tool(answer)["function"])
    schema: dict[str, Any] = function["parameters"]
    # Of the class, for people who read the code: it must not decide what the cache knows.
    schema.pop("description", None)
    return schema
