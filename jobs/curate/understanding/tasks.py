"""Which question a curated picture gets, and what its source itself would answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from infra.document import Document, TextSegment, format_id
from jobs.scenes.truth import Truth
from jobs.specs.understanding import WriteSettings
from jobs.vlm import Question
from jobs.vlm.answers import Answer, Caption, QuestionAnswer

Task = Literal["rewritten", "knowledge", "inverted", "text_rich"]

DESCRIBE = (
    "Describe this picture.",
    "What does the picture show?",
    "What can you see here?",
    "Write a caption for this picture.",
    "Tell me what is in this image.",
)
"""What comes before a caption; which one is decided by a hash."""

READ = "What does the text in this picture say?"

_NUMBERS = {1: "One.", 2: "Two.", 3: "Three.", 4: "Four."}


@dataclass(frozen=True)
class FoundText:
    """What was read in a picture."""

    text: str
    characters: int
    confidence: float


def choose_task(sample_id: int, found: FoundText | None, settings: WriteSettings, seed: int) -> Task | None:
    """The task of a picture: text_rich where there is enough text, else by a hash of id and seed."""
    rich = settings.text_rich
    if rich and found and found.characters >= rich.min_characters and found.confidence >= rich.min_confidence:
        return "text_rich"
    shares: tuple[tuple[Task, float], ...] = (
        ("inverted", settings.inverted),
        ("knowledge", settings.knowledge),
        ("rewritten", settings.rewritten),
    )
    lot = _lot(sample_id, seed)
    for task, share in shares:
        if lot < share:
            return task
        lot -= share
    return None


def question_of(
    document: Document, task: Task, image: bytes, found: FoundText | None
) -> Question[Any] | None:
    """What is asked; None for `inverted`, whose answer is the caption as it stands."""
    caption = caption_of(document)
    key = format_id(document.sample_id)
    if task == "rewritten":
        return _question(key, "rewrite_caption", Caption, image, caption, Caption(caption=caption))
    if task == "knowledge":
        own = known_of(document.metadata.get("truth"))
        return _question(key, "knowledge_question", QuestionAnswer, image, caption, own)
    if task == "text_rich":
        assert found is not None
        own = QuestionAnswer(question=READ, answer=found.text)
        return _question(key, "ocr_question", QuestionAnswer, image, f"{found.text}\n{caption}", own)
    return None


def turns_of(document: Document, answer: Answer | None, seed: int) -> tuple[str, str]:
    """What is asked about a picture in its document, empty where nothing is, and the answer."""
    if isinstance(answer, QuestionAnswer):
        return answer.question, answer.answer
    if isinstance(answer, Caption):
        return DESCRIBE[int(_lot(document.sample_id, seed + 1) * len(DESCRIBE))], answer.caption
    return "", caption_of(document)


def caption_of(document: Document) -> str:
    """The caption of a text-to-image document."""
    return next(part.text for part in document.segments if isinstance(part, TextSegment))


def known_of(truth: dict[str, Any] | None) -> QuestionAnswer | None:
    """A question that the truth of a scene answers; None where nothing is known of a picture."""
    if not truth:
        return None
    clauses = Truth.model_validate(truth).include
    first = clauses[0]
    if len(clauses) == 1 and first.count == 1 and first.color and first.kind:
        return QuestionAnswer(question=f"What colour is the {first.kind}?", answer=f"{first.color.title()}.")
    total = sum(clause.count for clause in clauses)
    return QuestionAnswer(question="How many shapes are there?", answer=_NUMBERS.get(total, f"{total}."))


def _question(
    key: str, prompt: str, answer: type[Any], image: bytes, caption: str, own: Answer | None
) -> Question[Any]:
    return Question(key, prompt, answer, images=(image,), values={"caption": caption}, own=own)


def _lot(sample_id: int, seed: int) -> float:
    """A number in [0, 1)."""
    data = hashlib.blake2b(f"{seed}/understanding/{sample_id}".encode(), digest_size=8).digest()
    return int.from_bytes(data, "little") / 2**64
