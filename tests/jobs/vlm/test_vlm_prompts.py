"""The prompts, and what fills them."""

from typing import get_args

import pytest
from vlm.questions import GOOD, ask_one, question, script
from vlm.server import VlmServer

from infra.errors import UserError
from jobs.recipe.curation.edit import EditTask as Task
from jobs.vlm import open_vlm
from jobs.vlm.answers import (
    Answer,
    Caption,
    EditTask,
    EditVerdict,
    QuestionAnswer,
    SubjectKind,
    SubjectVerdict,
)
from jobs.vlm.prompts import fill_prompt, prompt_names

ANSWERS: dict[str, tuple[type[Answer], set[str]]] = {
    "caption": (Caption, {"caption"}),
    "edit_judge": (EditVerdict, {"instruction"}),
    "edit_task": (EditTask, {"instruction"}),
    "knowledge_question": (QuestionAnswer, {"caption"}),
    "ocr_question": (QuestionAnswer, {"caption"}),
    "rewrite_caption": (Caption, {"caption"}),
    "subject_match": (SubjectVerdict, set()),
}


def test_every_prompt_has_an_answer() -> None:
    assert prompt_names() == sorted(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_prompt_takes_its_values_and_asks_for_the_fields_of_its_answer_in_order(name: str) -> None:
    answer, placeholders = ANSWERS[name]
    values = {placeholder: f"value of {placeholder}" for placeholder in placeholders}
    text = fill_prompt(name, values, {})
    assert all(value in text for value in values.values())
    places = [text.rindex(f'"{field}":') for field in answer.model_fields]
    assert places == sorted(places)
    for placeholder in placeholders:
        with pytest.raises(UserError, match=f"prompt {name}.md: no value for {{{placeholder}}}"):
            fill_prompt(name, {}, {})


@pytest.mark.parametrize(
    ("name", "words"), [("edit_task", get_args(Task)), ("subject_match", get_args(SubjectKind))]
)
def test_a_prompt_explains_every_word_to_choose_from(name: str, words: tuple[str, ...]) -> None:
    text = fill_prompt(name, {"instruction": "x"}, {})
    assert [word for word in words if f"- {word}: " not in text] == []


def test_a_value_is_text_whatever_is_in_it() -> None:
    text = "{caption} {instruction} {} {0} \\1 $HOME"
    assert text in fill_prompt("caption", {"caption": text}, {})


def test_an_unknown_prompt_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"no prompt '\.\./secrets'. Prompts are caption, edit_judge"):
        fill_prompt("../secrets", {}, {})


def test_a_recipe_may_ask_in_its_own_words() -> None:
    with VlmServer(script(GOOD)) as server:
        settings = server.settings(prompts={"caption": "Nenne das Bild: {caption}"})
        ask_one(open_vlm(settings, None), question(3))
    assert server.seen[0].text == "Nenne das Bild: hint 3"


def test_a_recipe_cannot_ask_for_values_that_are_not_there() -> None:
    with VlmServer(script(GOOD)) as server:
        vlm = open_vlm(server.settings(prompts={"caption": "{title}: {caption}"}), None)
        with pytest.raises(UserError, match=r"vlm.prompts.caption: no value for {title}.*caption"):
            ask_one(vlm)
    assert not server.seen


def test_a_recipe_cannot_replace_a_prompt_that_nobody_asks() -> None:
    with VlmServer(script(GOOD)) as server:
        settings = server.settings(prompts={"captoin": "What is it?"})
        with pytest.raises(UserError, match=r"vlm.prompts.captoin: no stage asks with this prompt"):
            open_vlm(settings, None)
