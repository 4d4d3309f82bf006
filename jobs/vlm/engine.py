"""Answers from vLLM engines on the cluster's own GPUs, through `ray.data.llm`.

All questions of one call go through one Ray dataset, so that the engines, which take minutes to load, load
once a call. Pictures wait in Ray's object store, which spills to disk, and not in this process.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic

import pyarrow as pa
import ray
import ray.data
from ray.data.llm import build_processor, vLLMEngineProcessorConfig

from infra.errors import UserError
from infra.local_ray import ensure_ray
from jobs.images import DecodeError
from jobs.recipe.vlm import InClusterVllm
from jobs.vlm.cache import AnswerCache
from jobs.vlm.client import sampling
from jobs.vlm.prompts import check_prompts
from jobs.vlm.question import A, Question, Reply
from jobs.vlm.request import Request, prepare

Row = dict[str, Any]
Map = Callable[[Row], Row]
Build = Callable[[Map, Map], Any]
"""From what makes a row the engine's, and what takes its answer out again, to a `ray.data.llm` processor."""

_MAX_IMAGES = 8
"""Pictures of one question."""

_ERROR = "__inference_error__"


def vllm_processor(settings: InClusterVllm) -> Build:
    """What builds the processor of vLLM engines.

    Raises:
        UserError: vLLM is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        mend = "pip install 'ray[llm]' on every node, or use `vlm: {kind: openai}` with a server"
        raise UserError("vLLM is not installed", "vlm.kind", mend)
    return partial(build_processor, engine_config(settings))


def engine_config(settings: InClusterVllm) -> vLLMEngineProcessorConfig:
    """How `ray.data.llm` is to run vLLM."""
    return vLLMEngineProcessorConfig(
        model_source=settings.model,
        engine_kwargs={
            "max_model_len": settings.max_model_len,
            "limit_mm_per_prompt": {"image": _MAX_IMAGES},
        },
        concurrency=(1, settings.engines),
        batch_size=settings.batch_size,
        # The engine takes text and gives text: one tokenizer, its own, counts the places of pictures.
        prepare_multimodal_stage={"enabled": True, "chat_template_content_format": "openai"},
        tokenize_stage=False,
        detokenize_stage=False,
        should_continue_on_error=True,
    )


def to_engine(row: Row, settings: InClusterVllm) -> Row:
    """What the engine is given of a row: messages, and how to sample an answer of the schema."""
    params = {
        "max_tokens": settings.max_tokens,
        # As text: a table would give every schema the keys of all others.
        "structured_outputs": {"json": row["schema"]},
        **sampling(settings.temperature, 0),
    }
    return {"messages": json.loads(row["messages"]), "sampling_params": params}


def from_engine(row: Row) -> Row:
    """What stays of a row that the engine has answered."""
    return {
        "index": row["index"],
        "text": row["generated_text"],
        "prompt_tokens": row["num_input_tokens"],
        "completion_tokens": row["num_generated_tokens"],
    }


@dataclass(frozen=True)
class _Asked(Generic[A]):
    """A question on its way, without its pictures."""

    request: Request[A]
    name: str


class EngineVlm:
    """Asks the engines of a processor, and keeps their answers in a cache where there is one."""

    def __init__(self, settings: InClusterVllm, cache: AnswerCache | None, build: Build) -> None:
        check_prompts(settings.prompts)
        self._settings = settings
        self._cache = cache
        self._build = build

    def ask(self, questions: Iterable[Question[A]]) -> Iterator[Reply[A]]:
        """Answer questions in their order. All are taken before the first is answered."""
        ensure_ray()
        ready: dict[int, Reply[A]] = {}
        asked: dict[int, _Asked[A]] = {}
        rows = self._rows(questions, ready, asked)
        blocks = [ray.put(block) for block in _blocks(rows, self._settings.batch_size)]
        total = len(ready) + len(asked)
        answers = self._run(blocks, asked) if blocks else iter(())
        for index in range(total):
            while index not in ready:
                arrived, reply = next(answers)
                ready[arrived] = reply
            yield ready.pop(index)

    def _rows(
        self, questions: Iterable[Question[A]], ready: dict[int, Reply[A]], asked: dict[int, _Asked[A]]
    ) -> Iterator[Row]:
        """The rows of questions that have to be asked; the replies to others are put into `ready`."""
        for index, question in enumerate(questions):
            request = prepare(question, self._settings.prompts)
            name = request.name(self._settings)
            stored = self._cache.get(name, question) if self._cache else None
            if stored is not None:
                ready[index] = stored
                continue
            try:
                messages = json.dumps(request.messages(self._settings.max_side))
            except DecodeError:
                ready[index] = Reply(question.key, None, "no_answer")
                continue
            asked[index] = _Asked(replace(request, question=replace(question, images=())), name)
            yield {"index": index, "messages": messages, "schema": json.dumps(request.schema)}

    def _run(self, blocks: list[Any], asked: dict[int, _Asked[A]]) -> Iterator[tuple[int, Reply[A]]]:
        ray.data.DataContext.get_current().enable_progress_bars = False
        processor = self._build(partial(to_engine, settings=self._settings), from_engine)
        _take_no_cores(processor)
        for row in processor(ray.data.from_arrow_refs(blocks)).iter_rows():
            index = int(row["index"])
            yield index, self._reply(asked.pop(index), row)

    def _reply(self, asked: _Asked[A], row: Row) -> Reply[A]:
        key = asked.request.question.key
        if row.get(_ERROR):
            return Reply(key, None, "unreachable", attempts=1)
        answer = asked.request.parse(row["text"])
        reply = Reply(
            key=key,
            answer=answer,
            problem=None if answer is not None else "malformed",
            attempts=1,
            prompt_tokens=int(row["prompt_tokens"]),
            completion_tokens=int(row["completion_tokens"]),
        )
        if answer is not None and self._cache:
            self._cache.put(asked.name, reply)
        return reply


def _blocks(rows: Iterator[Row], size: int) -> Iterator[pa.Table]:
    """Tables of some rows each; no more than one is in memory."""
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if len(block) == size:
            yield pa.Table.from_pylist(block)
            block = []
    if block:
        yield pa.Table.from_pylist(block)


def _take_no_cores(processor: Any) -> None:
    """Let every step run while all cores are taken: units that ask hold one each, and would wait for ever."""
    processor.preprocess_map_kwargs["num_cpus"] = 0
    processor.postprocess_map_kwargs["num_cpus"] = 0
    for name in processor.list_stage_names():
        processor.get_stage_by_name(name).map_batches_kwargs["num_cpus"] = 0
