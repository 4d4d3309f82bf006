"""Answers from a server that speaks OpenAI's protocol: vLLM, SGLang, or a hosted one.

Questions are asked many at once in an event loop beside the caller, who takes the replies in order. No
more questions are taken than wait for an answer, so a stage may ask about any number of pictures.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from infra.errors import UserError
from jobs.images import DecodeError
from jobs.recipe.vlm import OpenAiEndpoint
from jobs.vlm.beside import loop_beside
from jobs.vlm.cache import AnswerCache
from jobs.vlm.client import Client
from jobs.vlm.outcome import Outcome
from jobs.vlm.prompts import check_prompts
from jobs.vlm.question import A, Question, Reply
from jobs.vlm.request import Message, Request, prepare

_LOG = logging.getLogger(__name__)

_AHEAD = 2
"""Questions taken for each request that may be under way, so that places do not stay empty."""


class ServerVlm:
    """Asks a server, and keeps its answers in a cache where there is one."""

    def __init__(self, settings: OpenAiEndpoint, cache: AnswerCache | None) -> None:
        check_prompts(settings.prompts)
        self._settings = settings
        self._cache = cache
        _read_key(settings.api_key)  # now, and not after the first pictures were read

    def ask(self, questions: Iterable[Question[A]]) -> Iterator[Reply[A]]:
        """Answer questions in their order, with at most a few times `concurrency` of them in memory.

        Raises:
            UserError: the server refuses the key or the model, or has stopped answering.
        """
        # The key is no part of this object, which may be sent to workers.
        client = Client(self._settings, _read_key(self._settings.api_key))
        waiting: deque[Future[Reply[A]]] = deque()
        history: Counter[str] = Counter()

        def take() -> Reply[A]:
            reply = waiting.popleft().result()
            history.update(questions=1, cached=reply.cached, attempts=reply.attempts)
            return reply

        with loop_beside(client.close) as loop:
            try:
                for question in questions:
                    reply = self._reply(client, question)
                    waiting.append(asyncio.run_coroutine_threadsafe(reply, loop))
                    if len(waiting) == _AHEAD * self._settings.concurrency:
                        yield take()
                while waiting:
                    yield take()
            finally:
                for future in waiting:
                    future.cancel()
        # Of this run alone, and so in no receipt: another run finds more in the cache.
        told = (history["questions"], history["cached"], history["attempts"])
        _LOG.info("%d questions: %d from the cache, %d requests", *told)

    async def _reply(self, client: Client, question: Question[A]) -> Reply[A]:
        request = prepare(question, self._settings.prompts)
        stored = await asyncio.to_thread(self._stored, request)
        if stored is not None:
            client.count_answered()
            return stored
        try:
            async with client.decoding:
                messages = await asyncio.to_thread(request.messages, self._settings.max_side)
        except DecodeError:
            return Reply(question.key, None, "no_answer")
        reply = await self._attempt(client, request, messages)
        if reply.answer is not None:
            await asyncio.to_thread(self._store, request, reply)
        return reply

    async def _attempt(self, client: Client, request: Request[A], messages: list[Message]) -> Reply[A]:
        """Ask until there is an answer, or the attempts are used up."""
        outcomes: list[Outcome[A]] = []
        while True:
            reasked = sum(outcome.problem in ("refused", "malformed") for outcome in outcomes)
            outcome = await client.ask(request, messages, reasked)
            outcomes.append(outcome)
            if outcome.problem in (None, "no_answer") or len(outcomes) == self._settings.attempts:
                break
            if outcome.problem == "unreachable":
                await client.pause(len(outcomes) - reasked)
        if outcome.problem in ("unreachable", "no_answer"):
            client.count_unanswered(outcome)
        return _reply_of(request, outcomes)

    def _stored(self, request: Request[A]) -> Reply[A] | None:
        if self._cache is None:
            return None
        return self._cache.get(request.name(self._settings), request.question)

    def _store(self, request: Request[A], reply: Reply[A]) -> None:
        if self._cache is not None:
            self._cache.put(request.name(self._settings), reply)


def _reply_of(request: Request[A], outcomes: list[Outcome[A]]) -> Reply[A]:
    """The reply to a question: the last outcome stands, and all of them cost."""
    return Reply(
        key=request.question.key,
        answer=outcomes[-1].answer,
        problem=outcomes[-1].problem,
        attempts=len(outcomes),
        prompt_tokens=sum(outcome.prompt_tokens for outcome in outcomes),
        completion_tokens=sum(outcome.completion_tokens for outcome in outcomes),
    )


def _read_key(variable: str | None) -> str:
    """The key, from the environment variable that the recipe names."""
    if variable is None:
        return "no-key-needed"  # the library wants one; a server that asks for none ignores it
    key = os.environ.get(variable, "").strip()
    if not key:
        mend = f"export {variable}=..., or say `api_key: null` for a server that asks for none"
        raise UserError(f"the environment variable {variable} is not set", "vlm.api_key", mend)
    if not re.fullmatch("[!-~]+", key):
        mend = "Set it to the key alone"
        raise UserError(f"the environment variable {variable} holds no key", "vlm.api_key", mend)
    return key
