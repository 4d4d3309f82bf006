"""A confirmed pair as a document: the reference, what to draw of it, and the target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from infra.document import Document, ImageSegment, TextSegment, format_id
from jobs.curate.captions import normalise
from jobs.curated import Media

Row = dict[str, Any]

FAMILY: Final = "subject"

Likeness = Literal["same", "alike", "style"]
"""What two pictures share: one and the same subject, subjects of one kind, or a manner."""

_CAPTIONED: dict[Likeness, tuple[str, ...]] = {
    "same": (
        "Show the same {subject} again: {caption}",
        "Draw this with the {subject} from the picture: {caption}",
        "{caption} Use the {subject} of the picture above.",
    ),
    "alike": (
        "Show another {subject}, like the one in the picture: {caption}",
        "{caption} Take the {subject} of the picture above as an example.",
    ),
    "style": ("In the same style ({subject}): {caption}", "{caption} Keep the style: {subject}."),
}
_BARE: dict[Likeness, tuple[str, ...]] = {
    "same": ("Show the same {subject} in another picture.", "Draw another picture of this {subject}."),
    "alike": ("Show another {subject}, like the one in the picture.",),
    "style": ("Draw another picture in the same style: {subject}.",),
}

_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)


def pair_document(
    pair: Row, pictures: Mapping[str, Row], images: Mapping[str, bytes]
) -> tuple[Document, Media]:
    """The document of a confirmed pair, with the original bytes of both pictures.

    Only the target is supervised.

    Args:
        pair: with `sample_id`, `source`, `group`, `reference`, `target`, `subject`, `subject_type` and
            `instruction`.
        pictures: rows of both pictures by source.
        images: their bytes by source.
    """
    reference, target = (pictures[pair[side]] for side in ("reference", "target"))
    first, second = (_segment(pair, number, row) for number, row in enumerate((reference, target)))
    document = Document(
        sample_id=pair["sample_id"],
        family=FAMILY,
        segments=(first, TextSegment(text=pair["instruction"], loss=False), second),
        metadata={
            "source": pair["source"],
            "subject": pair["subject"],
            "subject_type": pair["subject_type"],
            "group": pair["group"],
            "parents": [format_id(row["sample_id"]) for row in (reference, target)],
        },
    )
    return document, {
        first.member: images[reference["source"]],
        second.member: images[target["source"]],
    }


def instruction(subject: str, likeness: Likeness, caption: str | None, lot: int) -> str:
    """What asks for the target, naming the subject and, where there is one, the target's caption.

    Args:
        subject: in a few words, with or without an article.
        likeness: what the pictures share.
        caption: of the target.
        lot: a number that chooses the wording.
    """
    text = normalise(caption or "")
    choices = (_CAPTIONED if text else _BARE)[likeness]
    name = _ARTICLE.sub("", normalise(subject), count=1)
    return choices[lot % len(choices)].format(subject=name, caption=_sentence(text))


def _segment(pair: Row, number: int, row: Row) -> ImageSegment:
    return ImageSegment(
        member=f"{format_id(pair['sample_id'])}.{number}.{row['format']}",
        width=row["width"],
        height=row["height"],
        sha256=row["sha256"],
        loss=number == 1,
    )


def _sentence(text: str) -> str:
    return text if not text or text[-1] in ".!?" else f"{text}."
