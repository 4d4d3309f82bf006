"""The source as the one who answers, and what answers come to."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vlm.questions import GOOD, number_of, question, script
from vlm.server import Message, Seen, Status, VlmServer

from infra.errors import UserError
from jobs.recipe.vlm import OpenAiEndpoint, SourceText
from jobs.vlm import Question, Reply, check_reached, merge_usage, open_vlm, usage
from jobs.vlm.answers import Caption

PRICED = OpenAiEndpoint(base_url="http://127.0.0.1/v1", model="m", input_price=2, output_price=10)


def test_the_source_answers_with_what_it_has() -> None:
    own = Caption(caption="a dog")
    asked = [Question("a", "caption", Caption, own=own), Question("b", "caption", Caption)]
    replies = list(open_vlm(SourceText(), None).ask(asked))
    assert replies == [Reply("a", own, None), Reply("b", None, "no_answer")]
    assert usage(replies)["no_answer"] == 1


def test_every_question_is_counted_by_what_became_of_it() -> None:
    faults = {1: Message(refusal="no"), 2: "nonsense", 3: Status(500), 4: Status(413)}

    def answer(seen: Seen) -> Any:
        return faults.get(number_of(seen), GOOD)

    with VlmServer(answer) as server:
        settings = server.settings(attempts=2, input_price=2, output_price=10)
        found = usage(open_vlm(settings, None).ask(map(question, range(6))), settings)
    # Twice 100 tokens in and 10 out: of the two answers.
    assert found == {
        "asked": 6,
        "answered": 2,
        "refused": 1,
        "malformed": 1,
        "unreachable": 1,
        "no_answer": 1,
        "prompt_tokens": 200,
        "completion_tokens": 20,
        "cost": pytest.approx(0.0006),
    }


def test_figures_are_the_same_whether_answers_were_stored_or_not(tmp_path: Any) -> None:
    faults = iter(["nonsense", Status(500)])
    with VlmServer(lambda seen: next(faults, GOOD)) as server:
        settings = server.settings(input_price=2)
        first = usage(open_vlm(settings, str(tmp_path)).ask(map(question, range(3))), settings)
        again = usage(open_vlm(settings, str(tmp_path)).ask(map(question, range(3))), settings)
    assert again == first
    assert (first["answered"], first["prompt_tokens"]) == (3, 400)


def test_what_a_run_came_to_is_in_the_log(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jobs.vlm")
    with VlmServer(script(GOOD)) as server:
        for _ in range(2):
            list(open_vlm(server.settings(), str(tmp_path)).ask(map(question, range(3))))
    told = [record.getMessage() for record in caplog.records if record.name.startswith("jobs.vlm")]
    assert told == ["3 questions: 0 from the cache, 3 requests", "3 questions: 3 from the cache, 0 requests"]


SERVER = OpenAiEndpoint(base_url="http://127.0.0.1/v1", model="m")
LOST = Reply[Any]("a", None, "unreachable", attempts=4)
UNTAKEN = Reply[Any]("b", None, "no_answer")


@pytest.mark.parametrize("replies", [[LOST], [UNTAKEN, LOST]])
def test_a_unit_of_which_nothing_was_answered_is_not_finished(replies: list[Reply[Any]]) -> None:
    with pytest.raises(UserError, match=r"none of .* was answered.*run again"):
        check_reached(replies, SERVER)


@pytest.mark.parametrize(
    "other", [Reply("c", GOOD, None), Reply("c", None, "refused"), Reply("c", None, "malformed")]
)
def test_a_server_that_said_anything_was_reached(other: Reply[Any]) -> None:
    for replies in ([], [UNTAKEN], [other], [LOST, other]):
        check_reached(replies, SERVER)


REPLIES = st.lists(
    st.builds(
        Reply,
        key=st.just("k"),
        answer=st.none(),
        problem=st.sampled_from([None, "refused", "malformed", "unreachable", "no_answer"]),
        attempts=st.integers(0, 5),
        cached=st.booleans(),
        prompt_tokens=st.integers(0, 1000),
        completion_tokens=st.integers(0, 1000),
    ),
    max_size=30,
)


@given(REPLIES, st.integers(0, 30))
def test_parts_add_up_to_the_whole_and_nothing_is_lost(replies: list[Reply[Any]], cut: int) -> None:
    whole = usage(replies, PRICED)
    merged = merge_usage([usage(replies[:cut], PRICED), usage(replies[cut:], PRICED)])
    assert merged == whole | {"cost": pytest.approx(whole["cost"])}
    kinds = ("answered", "refused", "malformed", "unreachable", "no_answer")
    assert whole["asked"] == len(replies) == sum(whole[kind] for kind in kinds)
