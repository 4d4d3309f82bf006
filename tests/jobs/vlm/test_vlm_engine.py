"""The way through `ray.data.llm`, with a server on loopback in the engine's place.

vLLM itself needs a GPU. What is real here: the rows, Ray's pipeline, its multi-step processors, reading
what comes back. What an engine makes of its row is not tested.
"""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
import vlm.questions
import vlm.server
from ray import cloudpickle
from ray.data.llm import HttpRequestProcessorConfig, build_processor
from vlm.questions import picture, question
from vlm.server import Seen, VlmServer

from infra.catalogue import Counts
from infra.errors import UserError
from infra.manifest import Output, Receipt
from infra.reporter import SilentReporter
from jobs.recipe.vlm import InClusterVllm
from jobs.units import Unit, run_units
from jobs.vlm import open_vlm
from jobs.vlm.answers import Caption
from jobs.vlm.cache import AnswerCache
from jobs.vlm.engine import Build, EngineVlm, Map, engine_config, from_engine, to_engine

# Workers cannot import test modules by name.
for module in (sys.modules[__name__], vlm.questions, vlm.server):
    cloudpickle.register_pickle_by_value(module)

SETTINGS = InClusterVllm(model="judge", batch_size=2)


def answer(seen: Seen) -> Any:
    if "hint 3" in seen.text:
        return '{"caption": "cut o'
    return {"caption": f"{len(seen.pictures)}: {seen.text.partition('hint ')[2].split()[0]}"}


@pytest.fixture(scope="module")
def server() -> Iterator[VlmServer]:
    with VlmServer(answer) as server:
        yield server


def post(row: dict[str, Any], before: Map) -> dict[str, Any]:
    """What the engine would be given, as a request to the server."""
    row = before(row)
    params = row["sampling_params"]
    schema = json.loads(params["structured_outputs"]["json"])
    form = {"type": "json_schema", "json_schema": {"name": schema["title"], "schema": schema}}
    return {"payload": {"model": "judge", "messages": row["messages"], "response_format": form}}


def take(row: dict[str, Any], after: Map) -> dict[str, Any]:
    """The server's reply under the names that the engine has for it."""
    reply = row["http_response"]
    return after(
        row
        | {
            "generated_text": reply["choices"][0]["message"]["content"],
            "num_input_tokens": reply["usage"]["prompt_tokens"],
            "num_generated_tokens": reply["usage"]["completion_tokens"],
        }
    )


def through(url: str, built: list[Any] | None = None) -> Build:
    def build(before: Map, after: Map) -> Any:
        config = HttpRequestProcessorConfig(url=f"{url}/chat/completions", batch_size=2)
        processor = build_processor(config, partial(post, before=before), partial(take, after=after))
        if built is not None:
            built.append(processor)
        return processor

    return build


@pytest.mark.usefixtures("ray_session")
def test_questions_go_through_the_pipeline_and_their_answers_come_in_order(
    server: VlmServer, tmp_path: Path
) -> None:
    built: list[Any] = []
    vlm = EngineVlm(SETTINGS, AnswerCache(str(tmp_path)), through(server.url, built))
    asked = [question(0), question(1, b"no picture"), question(2, picture("blue")), question(3), question(4)]
    replies = list(vlm.ask(asked))
    assert [reply.key for reply in replies] == ["0", "1", "2", "3", "4"]
    assert [reply.problem for reply in replies] == [None, "no_answer", None, "malformed", None]
    assert [reply.answer.caption for reply in replies if reply.answer] == ["1: 0", "1: 2", "1: 4"]
    assert [reply.attempts for reply in replies] == [1, 0, 1, 1, 1]
    assert (replies[0].prompt_tokens, replies[0].completion_tokens) == (100, 10)
    (processor,) = built
    stage = processor.get_stage_by_name("HttpRequestStage")
    takes = [processor.preprocess_map_kwargs, stage.map_batches_kwargs, processor.postprocess_map_kwargs]
    assert [kwargs["num_cpus"] for kwargs in takes] == [0, 0, 0]
    sent = len(server.seen)
    again = list(vlm.ask([asked[2], asked[0]]))
    assert [(reply.cached, reply.answer) for reply in again] == [
        (True, replies[2].answer),
        (True, replies[0].answer),
    ]
    assert len(server.seen) == sent


def ask_in_unit(unit: Unit[int], url: str) -> Receipt:
    vlm = EngineVlm(SETTINGS, None, through(url))
    (reply,) = vlm.ask([question(unit.payload)])
    assert reply.answer is not None
    counts = Counts(total=1, kept=1)
    return Receipt(unit=unit.name, files=(), counts=counts, metadata={"answer": reply.answer.caption})


@pytest.mark.chaos
@pytest.mark.usefixtures("ray_session")
def test_units_that_hold_all_cores_can_ask(server: VlmServer, tmp_path: Path) -> None:
    cores = int(ray.cluster_resources()["CPU"])
    units = [Unit(f"u{number}", 10 + number) for number in range(cores)]
    work = partial(ask_in_unit, url=server.url)
    receipts = run_units(Output(str(tmp_path)), units, work, SilentReporter())
    assert [receipt.metadata["answer"] for receipt in receipts] == [f"1: {10 + n}" for n in range(cores)]


def test_an_engine_is_given_messages_and_a_schema_as_text() -> None:
    schema = json.dumps(Caption.model_json_schema())
    row = {"index": 3, "messages": json.dumps([{"role": "user", "content": "hello"}]), "schema": schema}
    assert to_engine(row, SETTINGS) == {
        "messages": [{"role": "user", "content": "hello"}],
        "sampling_params": {"max_tokens": 512, "temperature": 0.0, "structured_outputs": {"json": schema}},
    }
    warm = to_engine(row, SETTINGS.model_copy(update={"temperature": 0.5}))["sampling_params"]
    assert (warm["temperature"], warm["seed"]) == (0.5, 0)


def test_of_an_engine_s_row_only_the_answer_stays() -> None:
    row = {
        "index": 3,
        "generated_text": "{}",
        "num_input_tokens": 9,
        "num_generated_tokens": 1,
        "messages": [],
    }
    assert from_engine(row) == {"index": 3, "text": "{}", "prompt_tokens": 9, "completion_tokens": 1}


@pytest.mark.usefixtures("ray_session")
def test_ray_builds_the_processor_of_a_vllm_engine(tmp_path: Path) -> None:
    settings = InClusterVllm(model=str(tmp_path), engines=2, max_model_len=4096)
    processor = build_processor(engine_config(settings))
    assert processor.list_stage_names() == ["PrepareMultimodalStage", "ChatTemplateStage", "vLLMEngineStage"]
    engine = processor.get_stage_by_name("vLLMEngineStage")
    assert engine.fn_constructor_kwargs["engine_kwargs"]["max_model_len"] == 4096
    assert engine.map_batches_kwargs["num_gpus"] == 1


def test_without_vllm_the_user_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"vLLM is not installed.*kind: openai"):
        open_vlm(SETTINGS, None)
