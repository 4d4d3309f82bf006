"""What one request came to: read from the body of a completion, or from the error that came instead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic

from openai import APIStatusError
from pydantic import BaseModel, ValidationError

from infra.errors import UserError
from jobs.recipe.vlm import OpenAiEndpoint
from jobs.vlm.question import A, Problem
from jobs.vlm.request import Request

MAX_WAIT = 600.0
"""Seconds: a server that asks to wait longer has closed for now."""

_LATER = (408, 409, 425, 429)
_FILTERED = ("content_filter", "content_policy_violation")


@dataclass(frozen=True)
class Outcome(Generic[A]):
    """Either an answer or a problem; `wait` in seconds where the server asked for it."""

    answer: A | None = None
    problem: Problem | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    wait: float | None = None
    detail: str = ""


# Of the protocol's completion, only what is read here; servers differ in the rest.


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Tokens | None = None


def read_completion(body: bytes, request: Request[A]) -> Outcome[A]:
    """What a completion says. A body that is none counts as a server that cannot be reached."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        return Outcome(problem="unreachable", detail="what it answers is no chat completion")
    tokens = completion.usage or _Tokens()
    answer, problem = _read_choice(completion.choices, request)
    return Outcome(answer, problem, tokens.prompt_tokens, tokens.completion_tokens)


def _read_choice(choices: list[_Choice], request: Request[A]) -> tuple[A | None, Problem | None]:
    if not choices:
        return None, "malformed"
    message, reason = choices[0].message, choices[0].finish_reason
    if message.refusal or reason == "content_filter":
        return None, "refused"
    answer = request.parse(message.content or "")
    return answer, None if answer is not None else "malformed"


def read_error(error: Exception, settings: OpenAiEndpoint, key: str) -> Outcome[A]:
    """What an error says of the question.

    Args:
        error: of the HTTP client, or a `TimeoutError`.
        settings: where was asked.
        key: of the server, which some of them repeat in their messages; it is taken out.

    Raises:
        UserError: no question can be answered before the user mends something.
    """
    if not isinstance(error, APIStatusError):
        return Outcome(problem="unreachable", detail=_clean(_connection(error), key))
    detail = _clean(f"HTTP {error.status_code}: {error.message}", key)
    _refuse_settings(error, settings, detail)
    if error.code in _FILTERED:
        return Outcome(problem="refused", detail=detail)
    if error.status_code >= 500 or error.status_code in _LATER:
        return Outcome(
            problem="unreachable", detail=detail, wait=_retry_after(error.response.headers, settings)
        )
    return Outcome(problem="no_answer", detail=detail)


def _refuse_settings(error: APIStatusError, settings: OpenAiEndpoint, detail: str) -> None:
    """Raise what only the user can mend. The server's words stay out where they may be about the key."""
    url = settings.base_url
    if error.status_code in (401, 403):
        place = f"in ${settings.api_key}" if settings.api_key else "that is missing"
        raise UserError(
            f"the server does not accept the key {place} ({error.status_code})", url, "Correct it"
        )
    if error.status_code in (404, 405):
        mend = "Correct vlm.model, or vlm.base_url, which mostly ends in /v1"
        raise UserError(f"no model {settings.model!r} there, or no such server ({detail})", url, mend)
    if error.status_code == 402 or error.code == "insufficient_quota":
        raise UserError(f"the account has nothing left ({detail})", url, "Top it up, then run again")


def _retry_after(headers: Mapping[str, str], settings: OpenAiEndpoint) -> float | None:
    """Seconds from the header `Retry-After`, which has a number or a date."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    if math.isnan(seconds):
        return None
    if seconds > MAX_WAIT:
        problem = f"the server asks to wait {seconds:.0f} seconds"
        raise UserError(problem, settings.base_url, "Run again then: what was answered is kept")
    return max(seconds, 0.0)


def _connection(error: Exception) -> str:
    """The deepest cause, which says what happened: the outer ones say `Connection error.`"""
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(cause) or type(cause).__name__


def _clean(text: str, key: str) -> str:
    """An error's words in one line, without the key."""
    return " ".join(text.replace(key, "***").split())[:300]
