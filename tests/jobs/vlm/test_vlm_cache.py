"""What the cache knows, what it does not, and what is kept in it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from vlm.questions import GOOD, ask_one, picture, question, script
from vlm.server import Answer, Message, Status, VlmServer

from infra import storage
from jobs.vlm import Question, open_vlm
from jobs.vlm.answers import Answer as AnswerModel
from jobs.vlm.answers import Caption, Text

KEY = "sk-secret-0123456789"


class Title(AnswerModel):
    caption: Text
    mood: str = ""


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_question_that_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    with VlmServer(script(GOOD)) as server:
        first = ask_one(open_vlm(server.settings(), str(tmp_path)))
        again = ask_one(open_vlm(server.settings(), str(tmp_path)), replace(question(), key="another"))
        assert len(server.seen) == 1
    assert (first.cached, first.attempts, first.prompt_tokens) == (False, 1, 100)
    assert (again.cached, again.attempts) == (True, 0)
    assert (again.prompt_tokens, again.completion_tokens) == (100, 10), "what the answer took is kept with it"
    assert (again.key, again.answer) == ("another", first.answer)
    assert len(entries(tmp_path)) == 1


def test_without_a_cache_every_question_is_asked(tmp_path: Path) -> None:
    with VlmServer(script(GOOD)) as server:
        for _ in range(2):
            assert not ask_one(open_vlm(server.settings(), None)).cached
        assert len(server.seen) == 2


def other_schema(asked: Question[Any]) -> Question[Any]:
    return replace(asked, answer=Title)


OTHERS: dict[str, tuple[Callable[[Question[Any]], Question[Any]], dict[str, Any]]] = {
    "picture": (lambda asked: replace(asked, images=(picture("blue"),)), {}),
    "second picture": (lambda asked: replace(asked, images=(*asked.images, picture("blue"))), {}),
    "text": (lambda asked: replace(asked, values={"caption": "other words"}), {}),
    "prompt": (lambda asked: replace(asked, prompt="rewrite_caption"), {}),
    "own prompt": (lambda asked: asked, {"prompts": {"caption": "What is it?"}}),
    "schema": (other_schema, {}),
    "temperature": (lambda asked: asked, {"temperature": 0.5}),
    "max_tokens": (lambda asked: asked, {"max_tokens": 7}),
    "max_side": (lambda asked: asked, {"max_side": 33}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_question_is_asked(name: str, tmp_path: Path) -> None:
    change, settings = OTHERS[name]
    with VlmServer(lambda seen: GOOD | ({"mood": "calm"} if seen.answer == "Title" else {})) as server:
        ask_one(open_vlm(server.settings(), str(tmp_path)))
        other = change(question())
        assert not ask_one(open_vlm(server.settings(**settings), str(tmp_path)), other).cached
        assert ask_one(open_vlm(server.settings(**settings), str(tmp_path)), other).cached
        assert len(server.seen) == 2


def test_another_model_is_asked(tmp_path: Path) -> None:
    with VlmServer(script(GOOD)) as server:
        ask_one(open_vlm(server.settings(), str(tmp_path)))
        server.model = "another"
        assert not ask_one(open_vlm(server.settings(model="another"), str(tmp_path))).cached


def test_where_and_how_fast_is_asked_changes_nothing(tmp_path: Path) -> None:
    with VlmServer(script(GOOD)) as server, VlmServer(script(GOOD)) as moved:
        ask_one(open_vlm(server.settings(), str(tmp_path)))
        settings = moved.settings(concurrency=3, timeout=9, attempts=2, input_price=1)
        assert ask_one(open_vlm(settings, str(tmp_path))).cached
        assert not moved.seen


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"caption": "a re',
        b'{"caption": "an answer alone"}',
        b'{"answer": {"mood": "calm"}, "prompt_tokens": 1, "completion_tokens": 1}',
        b"\xff\xfe",
        b"[" * 9999,
        b'{"caption": "?"}' + b" " * (2 << 20),
    ],
)
def test_a_damaged_entry_is_asked_anew_and_mended(content: bytes, tmp_path: Path) -> None:
    with VlmServer(script(GOOD)) as server:
        vlm = open_vlm(server.settings(), str(tmp_path))
        ask_one(vlm)
        (entry,) = entries(tmp_path)
        entry.write_bytes(content)
        damaged, mended = ask_one(vlm), ask_one(vlm)
        assert len(server.seen) == 2
    assert (damaged.cached, damaged.answer) == (False, Caption(caption="a red square"))
    assert (mended.cached, mended.answer) == (True, damaged.answer)


@pytest.mark.parametrize(
    "fault", [Message(refusal="no"), "nonsense", Status(500), Status(413), '{"caption": ""}'], ids=str
)
def test_only_answers_are_kept(fault: Answer, tmp_path: Path) -> None:
    with VlmServer(script(fault)) as server:
        assert ask_one(open_vlm(server.settings(attempts=2), str(tmp_path))).problem is not None
    assert entries(tmp_path) == []


def test_no_entry_holds_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_VLM_KEY", KEY)
    with VlmServer(script(GOOD), key=KEY) as server:
        ask_one(open_vlm(server.settings(api_key="TEST_VLM_KEY"), str(tmp_path)))
    (entry,) = entries(tmp_path)
    assert json.loads(entry.read_text()) == {
        "answer": {"caption": "a red square"},
        "prompt_tokens": 100,
        "completion_tokens": 10,
    }
    assert KEY not in str(entry)


def test_workers_that_answer_the_same_question_leave_one_entry(tmp_path: Path) -> None:
    with VlmServer(script(GOOD)) as server, ThreadPoolExecutor(4) as workers:
        vlms = [open_vlm(server.settings(), str(tmp_path)) for _ in range(4)]
        replies = list(workers.map(ask_one, vlms))
    assert {reply.answer for reply in replies} == {Caption(caption="a red square")}
    (entry,) = entries(tmp_path)
    assert json.loads(entry.read_bytes())["answer"] == {"caption": "a red square"}


def test_a_cache_may_be_in_an_object_store(s3_root: str) -> None:
    with VlmServer(script(GOOD)) as server:
        vlm = open_vlm(server.settings(), f"{s3_root}/cache")
        assert [ask_one(vlm).cached, ask_one(vlm).cached] == [False, True]
    assert len(storage.list_files(f"{s3_root}/cache")) == 1
