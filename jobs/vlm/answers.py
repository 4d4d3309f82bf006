"""The answers that the prompts of this package ask for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from jobs.recipe.curation import edit

SubjectKind = Literal["human", "animal", "object", "abstract", "style", "none"]
"""What two pictures may share (paper 5.3); `none` where they share nothing."""


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty")
    return " ".join(text.split())


# As a validator and not as a limit in the schema: some servers know no `minLength`.
Text = Annotated[str, AfterValidator(_filled)]
"""Text that is not empty, every run of whitespace one space."""


class Answer(BaseModel):
    """Base of answers: immutable, and nothing beside the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Caption(Answer):
    """`caption` and `rewrite_caption`: what a picture shows."""

    caption: Text


class EditVerdict(Answer):
    """`edit_judge`: whether the picture after follows the instruction."""

    reason: Text
    score: int = Field(ge=0, le=10)
    follows: bool


class EditTask(Answer):
    """`edit_task`: which kind of edit an instruction asks for."""

    task: edit.EditTask


class SubjectVerdict(Answer):
    """`subject_match`: whether two pictures share a subject, and which."""

    shared: bool
    kind: SubjectKind
    subject: str
    """Such as `a brown dog with a red collar`; empty where nothing is shared."""


class QuestionAnswer(Answer):
    """`knowledge_question` and `ocr_question`: a question that the picture answers, and its answer."""

    question: Text
    answer: Text
