"""What a server is asked, how much at once, and in which order its answers come."""

import io
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from PIL import Image
from vlm.questions import GOOD, ask_one, number_of, picture, question, script
from vlm.server import Message, Seen, Status, VlmServer

from infra.errors import UserError
from jobs.recipe.vlm import OpenAiEndpoint
from jobs.vlm import Question, open_vlm
from jobs.vlm.answers import Caption, SubjectVerdict


def test_replies_come_in_the_order_of_the_questions_whatever_comes_first() -> None:
    later = threading.Event()

    def answer(seen: Seen) -> dict[str, str]:
        number = number_of(seen)
        if number == 5:
            later.set()
        if number == 0:
            assert later.wait(20)
        return {"caption": f"picture {number}"}

    with VlmServer(answer) as server:
        replies = list(open_vlm(server.settings(concurrency=8), None).ask(map(question, range(20))))
    assert [reply.key for reply in replies] == [str(number) for number in range(20)]
    assert [reply.answer.caption for reply in replies if reply.answer] == [f"picture {n}" for n in range(20)]
    assert [number_of(seen) for seen in server.seen].index(0) < 20


def test_as_many_requests_are_under_way_as_the_recipe_says_and_no_more() -> None:
    together, fourth, arrivals = threading.Barrier(3), threading.Event(), itertools.count()

    def answer(seen: Seen) -> dict[str, str]:
        if next(arrivals) < 3:
            together.wait(20)  # passes only when three are there
            fourth.wait(0.5)
        else:
            fourth.set()
        return GOOD

    with VlmServer(answer) as server:
        replies = list(open_vlm(server.settings(concurrency=3), None).ask(map(question, range(12))))
    assert [reply.problem for reply in replies] == [None] * 12
    assert server.most_at_once == 3


@pytest.mark.parametrize(("per_minute", "arrived"), [(1, 0), (20, 1), (None, 2)])
def test_a_rate_limit_spaces_requests_evenly_and_the_first_one_waits_too(
    per_minute: int | None, arrived: int
) -> None:
    reached, arrivals = [threading.Event(), threading.Event()], itertools.count()

    def answer(seen: Seen) -> dict[str, str]:
        if (place := next(arrivals)) < 2:
            reached[place].set()
        return GOOD

    def questions() -> Iterator[Question[Caption]]:
        yield from map(question, range(3))
        for event in reached[:arrived]:  # the asking goes on beside
            assert event.wait(20)
        for event in reached[arrived:]:
            assert not event.wait(1)
        raise KeyError("enough")

    with VlmServer(answer) as server, pytest.raises(KeyError):
        list(open_vlm(server.settings(requests_per_minute=per_minute), None).ask(questions()))


def test_few_questions_are_taken_before_their_turn() -> None:
    taken = 0

    def questions() -> Iterator[Question[Caption]]:
        nonlocal taken
        for number in range(60):
            taken += 1
            yield question(number)

    with VlmServer(script(GOOD)) as server:
        replies = open_vlm(server.settings(concurrency=2), None).ask(questions())
        for done, _ in enumerate(replies):
            assert taken - done <= 4
    assert taken == 60


def test_who_stops_listening_stops_the_asking() -> None:
    with VlmServer(script(GOOD)) as server:
        replies = open_vlm(server.settings(concurrency=2), None).ask(map(question, range(1000)))
        next(replies)
        replies.close()  # type: ignore[attr-defined]
        assert len(server.seen) <= 4


FAILS_WHILE_ASKING = """
import sys
from jobs.recipe.vlm import OpenAiEndpoint
from jobs.vlm import Question, open_vlm
from jobs.vlm.answers import Caption

vlm = open_vlm(OpenAiEndpoint(base_url=sys.argv[1], model="judge", api_key=None, concurrency=1), None)
kept = vlm.ask(Question("k", "caption", Caption, (), {"caption": f"hint {n}"}) for n in range(100))
next(kept)
raise SystemExit("something else failed")
"""


def test_a_process_that_fails_while_it_asks_ends() -> None:
    with VlmServer(script(GOOD)) as server:
        command = [sys.executable, "-c", FAILS_WHILE_ASKING, server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr.strip()) == (1, "something else failed")


def test_a_server_gets_the_text_the_schema_and_how_to_sample() -> None:
    with VlmServer(script(GOOD)) as server:
        reply = ask_one(open_vlm(server.settings(temperature=0.5, max_tokens=99), None), question(7))
    (seen,) = server.seen
    assert "hint 7" in seen.text
    assert seen.answer == "Caption"
    assert seen.body["response_format"]["json_schema"]["schema"]["required"] == ["caption"]
    assert (seen.body["temperature"], seen.body["seed"], seen.body["max_tokens"]) == (0.5, 0, 99)
    assert (reply.attempts, reply.prompt_tokens, reply.completion_tokens) == (1, 100, 10)


def test_pictures_are_sent_scaled_down_and_lossless_ones_unchanged() -> None:
    small, large = picture("red"), picture("blue", 200, 100, "JPEG")
    asked = Question("pair", "subject_match", SubjectVerdict, (small, large))
    verdict = SubjectVerdict(shared=False, kind="none", subject="")
    with VlmServer(script(verdict)) as server:
        (reply,) = open_vlm(server.settings(max_side=64), None).ask([asked])
    assert reply.answer == verdict
    (seen,) = server.seen
    first, second = (Image.open(io.BytesIO(data)) for data in seen.pictures)
    assert (first.format, first.size, second.format, second.size) == ("PNG", (48, 32), "JPEG", (64, 32))
    assert first.tobytes() == Image.open(io.BytesIO(small)).tobytes()
    assert seen.text.index("Picture 1:") < seen.text.index("Picture 2:")


def test_a_question_without_pictures_is_plain_text() -> None:
    with VlmServer(script(GOOD)) as server:
        ask_one(open_vlm(server.settings(), None), Question("t", "caption", Caption, (), {"caption": "x"}))
    assert isinstance(server.seen[0].body["messages"][0]["content"], str)


@pytest.mark.parametrize(
    "text",
    [
        '{"caption": "a  red\\nsquare"}',
        '```json\n{"caption": "a red square"}\n```',
        'Here it is:\n```\n{"caption": "a red square"}\n```\nAnything else?',
        'Sure! {"caption": "a red square"} I hope it helps.',
        '<think>maybe {"caption": "blue"}?</think>{"caption": "a red square"}',
    ],
)
def test_json_is_found_in_what_surrounds_it(text: str) -> None:
    with VlmServer(script(text)) as server:
        reply = ask_one(open_vlm(server.settings(), None))
    assert reply.answer == Caption(caption="a red square")
    assert reply.attempts == 1


def test_a_key_is_sent_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_VLM_KEY", "sk-right")
    with VlmServer(script(GOOD), key="sk-right") as server:
        assert ask_one(open_vlm(server.settings(api_key="TEST_VLM_KEY"), None)).answer is not None


def test_a_missing_key_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_VLM_KEY", raising=False)
    settings = OpenAiEndpoint(base_url="http://127.0.0.1:1/v1", model="m", api_key="TEST_VLM_KEY")
    with pytest.raises(UserError, match="environment variable TEST_VLM_KEY is not set"):
        open_vlm(settings, None)


def test_asked_again_after_answers_that_do_not_serve_the_model_samples_more_freely() -> None:
    with VlmServer(script(Message(refusal="no"), "nonsense", GOOD)) as server:
        reply = ask_one(open_vlm(server.settings(), None))
    assert (reply.problem, reply.attempts, reply.prompt_tokens) == (None, 3, 300)
    sampled = [(seen.body["temperature"], seen.body.get("seed")) for seen in server.seen]
    assert sampled == [(0.0, None), (0.25, 1), (0.5, 2)]


def test_asked_again_after_errors_the_question_is_the_same() -> None:
    with VlmServer(script(Status(500), Status(503), GOOD)) as server:
        assert ask_one(open_vlm(server.settings(), None)).attempts == 3
    assert server.seen[0].body == server.seen[1].body == server.seen[2].body
