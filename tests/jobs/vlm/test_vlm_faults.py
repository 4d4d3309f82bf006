"""What becomes of questions when servers fail, refuse, or talk nonsense."""

import logging
import pickle
import socket
import time
import traceback
from email.utils import formatdate
from pathlib import Path

import pytest
from pydantic import ValidationError
from vlm.questions import GOOD, ask_one, number_of, question, script
from vlm.server import Answer, Body, Message, Reset, Seen, Stall, Status, Trickle, VlmServer

from infra.errors import UserError
from jobs.recipe.vlm import OpenAiEndpoint
from jobs.vlm import open_vlm
from jobs.vlm.client import GIVE_UP, MAX_REPLY
from jobs.vlm.outcome import read_error

UNREACHABLE: list[Answer] = [
    Status(429, headers={"Retry-After": "0"}),
    Status(429, headers={"Retry-After": formatdate(0, usegmt=True)}),
    Status(429, headers={"Retry-After": "soon"}),
    Status(429, headers={"Retry-After": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}),
    Status(408),
    Status(500),
    Status(502),
    Status(503),
    Reset(),
    Body(b'{"choices": [', declared=400),
    Body(b"<html>welcome</html>"),
    Body(b'{"choices": "none"}'),
]
REFUSED: list[Answer] = [
    Message(refusal="I cannot help with that."),
    Message(None, finish_reason="content_filter"),
    Status(400, "filtered", error_code="content_filter"),
]
MALFORMED: list[Answer] = [
    Message('{"caption": "a red squ', finish_reason="length"),
    Message(None),
    Body(b'{"choices": []}'),
    "I see a red square.",
    '{"description": "a red square"}',
    '{"caption": "a red square", "mood": "calm"}',
    '{"caption": "  "}',
    '{"caption": 7}',
    '["a red square"]',
    "[" * 100_000 + "{}",
    "{" * 200_000,
    Body(b" " * (MAX_REPLY + 1)),
]
ALL = [*((a, "unreachable") for a in UNREACHABLE), *((a, "refused") for a in REFUSED)]
ALL += [(a, "malformed") for a in MALFORMED]


@pytest.mark.parametrize(("fault", "problem"), ALL)
def test_a_fault_is_asked_again_and_counted(fault: Answer, problem: str) -> None:
    with VlmServer(script(fault, GOOD)) as server:
        reply = ask_one(open_vlm(server.settings(), None))
    assert (reply.problem, reply.attempts, len(server.seen)) == (None, 2, 2)
    with VlmServer(script(fault)) as server:
        reply = ask_one(open_vlm(server.settings(attempts=3), None))
    assert (reply.answer, reply.problem, reply.attempts) == (None, problem, 3)
    assert len(server.seen) == 3


@pytest.mark.parametrize("slow", [Stall(), Trickle()])
def test_a_server_that_does_not_answer_in_time_is_asked_again(slow: Answer) -> None:
    with VlmServer(script(slow, GOOD)) as server:
        reply = ask_one(open_vlm(server.settings(timeout=1), None))
    assert (reply.problem, reply.attempts) == (None, 2)


def test_the_last_problem_stands() -> None:
    with VlmServer(script(Status(500), Message(refusal="no"))) as server:
        assert ask_one(open_vlm(server.settings(attempts=2), None)).problem == "refused"
    with VlmServer(script(Message(refusal="no"), Status(500))) as server:
        assert ask_one(open_vlm(server.settings(attempts=2), None)).problem == "unreachable"


def test_no_request_is_sent_while_the_server_asks_to_wait() -> None:
    arrivals: list[float] = []

    def answer(seen: Seen) -> Answer:
        arrivals.append(time.monotonic())
        return Status(429, headers={"Retry-After": "1"}) if len(arrivals) == 1 else GOOD

    with VlmServer(answer) as server:
        replies = list(open_vlm(server.settings(concurrency=1), None).ask(map(question, range(4))))
    assert sum(reply.attempts for reply in replies) == 5
    assert min(arrivals[1:]) - arrivals[0] >= 1  # at least: a busy machine only makes it longer


def test_a_picture_that_cannot_be_decoded_is_not_asked_about() -> None:
    with VlmServer(script(GOOD)) as server:
        asked = [question(0, b"no picture"), question(1)]
        broken, good = open_vlm(server.settings(), None).ask(asked)
    assert (broken.problem, broken.attempts, good.problem) == ("no_answer", 0, None)
    assert len(server.seen) == 1


def test_a_question_that_the_server_does_not_take_is_asked_once() -> None:
    with VlmServer(lambda seen: Status(413) if number_of(seen) == 1 else GOOD) as server:
        replies = list(open_vlm(server.settings(), None).ask(map(question, range(3))))
    assert [reply.problem for reply in replies] == [None, "no_answer", None]
    assert replies[1].attempts == 1


FATAL = [
    (Status(401), {}, "does not accept the key"),
    (Status(403), {}, "does not accept the key"),
    (Status(402), {}, "nothing left"),
    (Status(429, error_code="insufficient_quota"), {}, "nothing left"),
    (Status(429, headers={"Retry-After": "86400"}), {}, "wait 86400 seconds"),
    (GOOD, {"model": "another"}, "no model 'another'"),
    (GOOD, {"base_url": "{url}/other"}, "which mostly ends in /v1"),
]


@pytest.mark.parametrize(("answer", "changes", "message"), FATAL)
def test_what_only_the_user_can_mend_ends_the_asking_at_once(
    answer: Answer, changes: dict[str, str], message: str
) -> None:
    with VlmServer(script(answer)) as server:
        filled = {name: value.format(url=server.url) for name, value in changes.items()}
        vlm = open_vlm(server.settings(concurrency=2, **filled), None)
        with pytest.raises(UserError, match=message):
            list(vlm.ask(map(question, range(500))))
        assert server.requests <= 8


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_without_a_server_few_questions_are_unreachable_and_many_are_an_error() -> None:
    settings = OpenAiEndpoint(base_url=closed_port(), model="m", api_key=None, attempts=2, retry_wait=0.01)
    vlm = open_vlm(settings, None)
    replies = list(vlm.ask(map(question, range(GIVE_UP - 1))))
    assert {(reply.problem, reply.attempts) for reply in replies} == {("unreachable", 2)}
    with pytest.raises(UserError, match=f"{GIVE_UP} questions in a row have no answer.*onnect"):
        list(vlm.ask(map(question, range(500))))


def test_failures_between_answers_are_no_error_however_many() -> None:
    with VlmServer(lambda seen: Status(500) if number_of(seen) % 2 else GOOD) as server:
        settings = server.settings(attempts=1, concurrency=1)
        replies = list(open_vlm(settings, None).ask(map(question, range(4 * GIVE_UP))))
    assert [reply.problem for reply in replies] == [None, "unreachable"] * (2 * GIVE_UP)


def test_questions_that_the_server_does_not_take_between_answers_are_no_error(tmp_path: Path) -> None:
    """Not the first time, nor again, when what was answered comes from the cache."""
    count = 6 * (GIVE_UP + 2)
    with VlmServer(lambda seen: GOOD if number_of(seen) % 6 else Status(413)) as server:
        for concurrency in (1, 1, 8):
            vlm = open_vlm(server.settings(concurrency=concurrency), str(tmp_path))
            replies = list(vlm.ask(map(question, range(1, count))))
            problems = [None if number % 6 else "no_answer" for number in range(1, count)]
            assert [reply.problem for reply in replies] == problems


def test_many_questions_in_a_row_may_not_be_taken_after_an_answer() -> None:
    with VlmServer(lambda seen: Status(413) if number_of(seen) else GOOD) as server:
        settings = server.settings(concurrency=1)
        replies = list(open_vlm(settings, None).ask(map(question, range(3 * GIVE_UP))))
    assert [reply.problem for reply in replies] == [None, *["no_answer"] * (3 * GIVE_UP - 1)]


def test_failures_between_answers_of_the_cache_are_no_error(tmp_path: Path) -> None:
    with VlmServer(script(GOOD)) as server:
        settings = server.settings(concurrency=1)
        list(open_vlm(settings, str(tmp_path)).ask(question(n) for n in range(4 * GIVE_UP) if n % 2))
    with VlmServer(script(Status(500))) as server:
        settings = server.settings(concurrency=1, attempts=1)
        replies = list(open_vlm(settings, str(tmp_path)).ask(map(question, range(4 * GIVE_UP))))
    assert [reply.problem for reply in replies] == ["unreachable", None] * (2 * GIVE_UP)


def test_a_server_that_takes_no_question_is_an_error() -> None:
    with VlmServer(script(Status(400, "response_format is not supported"))) as server:
        vlm = open_vlm(server.settings(), None)
        with pytest.raises(UserError, match="response_format is not supported"):
            list(vlm.ask(map(question, range(500))))


@pytest.mark.parametrize("code", [400, 401, 404, 402])
def test_a_key_is_in_no_error_no_log_and_no_object(
    code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-secret-0123456789"
    monkeypatch.setenv("TEST_VLM_KEY", key)
    caplog.set_level(logging.DEBUG)
    with VlmServer(script(Status(code, f"not with {key}"))) as server:
        vlm = open_vlm(server.settings(api_key="TEST_VLM_KEY"), None)
        with pytest.raises(UserError) as caught:
            list(vlm.ask(map(question, range(50))))
    assert "not with" in str(caught.value) or code == 401
    assert key not in "".join(traceback.format_exception(caught.value))
    assert "/chat/completions" in caplog.text
    assert key not in caplog.text
    assert key.encode() not in pickle.dumps(vlm)


@pytest.mark.parametrize("key", ["sk-secret-0123\r", " sk-secret-0123\n"])
def test_white_space_about_a_key_is_no_part_of_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_VLM_KEY", key)
    with VlmServer(script(GOOD), key="sk-secret-0123") as server:
        assert ask_one(open_vlm(server.settings(api_key="TEST_VLM_KEY"), None)).problem is None


@pytest.mark.parametrize("key", ["sk-secret\r\nHost: other", "sk-secret-\u00e9", "sk secret", "\t"])
def test_a_key_that_no_header_can_hold_is_one_clear_line_without_it(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_VLM_KEY", key)
    with VlmServer(script(GOOD)) as server, pytest.raises(UserError, match="TEST_VLM_KEY") as caught:
        open_vlm(server.settings(api_key="TEST_VLM_KEY"), None)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_an_error_of_the_connection_does_not_repeat_the_key() -> None:
    settings = OpenAiEndpoint(base_url="http://127.0.0.1/v1", model="m", api_key="TEST_VLM_KEY")
    error = ValueError("Illegal header value b'Bearer sk-secret-0123'")
    assert "sk-secret" not in read_error(error, settings, "sk-secret-0123").detail


@pytest.mark.parametrize(
    "changes", [{"base_url": "127.0.0.1:8000/v1"}, {"base_url": "http://"}, {"api_key": "sk-secret"}]
)
def test_a_recipe_with_no_address_or_with_a_key_itself_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        OpenAiEndpoint.model_validate({"base_url": "http://127.0.0.1/v1", "model": "m"} | changes)
    assert all("sk-secret" not in error["msg"] for error in caught.value.errors())
