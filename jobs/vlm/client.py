"""One server, and everything that holds requests back: places, pace, and what the server asks to wait."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, cast

import httpx2
from openai import AsyncOpenAI, OpenAIError

from infra.errors import UserError
from jobs.recipe.vlm import OpenAiEndpoint
from jobs.vlm.outcome import Outcome, read_completion, read_error
from jobs.vlm.question import A
from jobs.vlm.request import Message, Request

MAX_REPLY = 4 << 20
"""Bytes of one reply; a longer one is not read on."""

GIVE_UP = 16
"""Questions in a row without an answer, after which the server is not asked any more."""

_LONGEST_WAIT = 60.0

_DECODED = 2
"""Pictures that are decoded at once: the largest take 300 MB each, however many questions wait."""


class _TooLongError(Exception):
    """The reply has more bytes than any answer."""


class Client:
    """Asks one server, as often and as many at once as the recipe allows.

    Everything here runs in one event loop.
    """

    def __init__(self, settings: OpenAiEndpoint, key: str) -> None:
        self._settings = settings
        self._key = key
        self.decoding = asyncio.Semaphore(_DECODED)
        self._places = asyncio.Semaphore(settings.concurrency)
        # Attempts are counted and paced here, so the library makes one at a time.
        self._openai = AsyncOpenAI(
            base_url=settings.base_url, api_key=key, timeout=settings.timeout, max_retries=0
        )
        per_minute = settings.requests_per_minute
        # Evenly, and not a minute's worth at once: no minute then has more than the limit. The first waits
        # too, for the unit before this one may have asked a moment ago.
        self._interval = 60 / per_minute if per_minute else 0.0
        self._next_at = time.monotonic() + self._interval
        self._unanswered = 0
        self._answered = False

    async def close(self) -> None:
        """Give the connections up."""
        await self._openai.close()

    async def ask(self, request: Request[A], messages: list[Message], reasked: int) -> Outcome[A]:
        """One request. The next of the same question has to wait for `pause`.

        Args:
            request: what is asked.
            messages: as sent, pictures included.
            reasked: how many answers to this question did not serve: the model is nudged accordingly.

        Raises:
            UserError: asking is of no use before the user mends something.
        """
        async with self._places:
            await self._wait_for_turn()
            try:
                async with asyncio.timeout(self._settings.timeout):
                    body = await self._post(self._body(request, messages, reasked))
            except _TooLongError:
                return Outcome(problem="malformed", detail=f"more than {MAX_REPLY} bytes")
            except (OpenAIError, httpx2.RequestError, TimeoutError) as error:
                outcome: Outcome[A] = self._explain(error)
            else:
                outcome = read_completion(body, request)
        if outcome.wait is not None:
            self._next_at = max(self._next_at, time.monotonic() + outcome.wait)
        if outcome.problem in (None, "refused", "malformed"):
            self.count_answered()
        return outcome

    async def pause(self, errors: int) -> None:
        """Wait after the `errors`th error of a question: twice as long each time, and jittered."""
        wait = min(self._settings.retry_wait * 2 ** (errors - 1), _LONGEST_WAIT)
        await asyncio.sleep(wait * random.uniform(0.75, 1.25))

    def count_answered(self) -> None:
        """Take note of a question that the server answered, now or before."""
        self._unanswered = 0
        self._answered = True

    def count_unanswered(self, outcome: Outcome[A]) -> None:
        """Take note of a question that stays without an answer of the server.

        Raises:
            UserError: there were too many in a row: something is wrong with all of them.
        """
        # A server that answers others says of this one question that it takes it not.
        if outcome.problem == "no_answer" and self._answered:
            return
        self._unanswered += 1
        if self._unanswered >= GIVE_UP:
            problem = f"{GIVE_UP} questions in a row have no answer; the last: {outcome.detail}"
            mend = "Look after the server, then run again: what was answered is kept"
            raise UserError(problem, self._settings.base_url, mend)

    async def _wait_for_turn(self) -> None:
        while (wait := self._next_at - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        self._next_at = time.monotonic() + self._interval

    def _body(self, request: Request[A], messages: list[Message], reasked: int) -> dict[str, Any]:
        schema = {"name": request.question.answer.__name__, "schema": request.schema, "strict": True}
        return {
            "model": self._settings.model,
            "messages": messages,
            "max_tokens": self._settings.max_tokens,
            "response_format": {"type": "json_schema", "json_schema": schema},
            **sampling(self._settings.temperature, reasked),
        }

    async def _post(self, body: dict[str, Any]) -> bytes:
        # Read piece by piece, so that a reply without an end does not fill the memory.
        create = cast("Any", self._openai.chat.completions.with_streaming_response.create)
        received = b""
        async with create(**body) as response:
            async for piece in response.iter_bytes():
                received += piece
                if len(received) > MAX_REPLY:
                    raise _TooLongError
        return received

    def _explain(self, error: Exception) -> Outcome[A]:
        # Without its cause: that may hold the request, and the key with it.
        try:
            outcome: Outcome[A] = read_error(error, self._settings, self._key)
        except UserError as mend:
            raise mend from None
        return outcome


def sampling(temperature: float, reasked: int) -> dict[str, Any]:
    """How the model is to sample.

    Asked again after a refusal or an answer that does not fit, it samples more freely by 0.25, from a seed
    of its own. So what is asked is a pure function of the recipe and of how often it was asked before.
    A seed goes along only where it matters: at temperature 0 there is nothing to draw.
    """
    warmer = min(temperature + 0.25 * reasked, 2.0)
    return {"temperature": warmer, "seed": reasked} if warmer else {"temperature": warmer}
