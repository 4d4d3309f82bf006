"""The source as the one who answers, and what answers come to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vlm.questions import GOOD, number_of, question, script
from vlm.server import Message, Seen, Status, VlmServer

from jobs.recipe.vlm import OpenAiEndpoint, SourceText
from jobs.vlm import Question, Reply, merge_usage, open_vlm, usage
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
    # Six times 100 tokens in and 10 out: of two answers, and of two attempts each that came to nothing.
    assert found == {
        "asked": 6,
        "answered": 2,
        "refused": 1,
        "malformed": 1,
        "unreachable": 1,
        "no_answer": 1,
        "cached": 0,
        "attempts": 9,
        "prompt_tokens": 600,
        "completion_tokens": 60,
        "cost": pytest.approx(0.0018),
    }


def test_what_was_stored_costs_nothing(tmp_path: Any) -> None:
    with VlmServer(script(GOOD)) as server:
        settings = server.settings(input_price=2)
        first = usage(open_vlm(settings, str(tmp_path)).ask(map(question, range(3))), settings)
        again = usage(open_vlm(settings, str(tmp_path)).ask(map(question, range(3))), settings)
    assert (first["cost"] > 0, first["cached"]) == (True, 0)
    assert (again["answered"], again["cached"], again["attempts"], again["cost"]) == (3, 3, 0, 0)


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
