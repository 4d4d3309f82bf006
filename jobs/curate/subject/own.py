"""What a source itself says of a pair: from the truth of drawn scenes, else from captions and folder names.

Scenes are not believed blindly: the subject must be seen in both pictures' pixels. A picture without a
caption is told by the last part of its group's name, as in folders `dog/`, `backpack/`.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image
from pydantic import ValidationError

from jobs.curate.subject.words import SubjectWords
from jobs.images import decode
from jobs.scenes.albums import AlbumTruth
from jobs.scenes.captions import phrase
from jobs.scenes.truth import Clause, Truth
from jobs.scenes.verify import verify
from jobs.vlm.answers import SubjectVerdict


@dataclass(frozen=True)
class Told:
    """One picture of a pair, as its source has it."""

    image: bytes
    pixels: int
    """Width times height, as scored: no larger picture is decoded."""
    caption: str | None
    truth: str | None
    group: str


@dataclass(frozen=True)
class Own:
    """The source's verdict; `reason` and `detail` say why where nothing is shared."""

    verdict: SubjectVerdict
    same: bool = False
    """Whether one and the same subject is shared, or only its kind."""
    reason: str | None = None
    detail: str | None = None


def own_verdict(reference: Told, target: Told, words: SubjectWords) -> Own:
    """The source's verdict on a pair."""
    truths = [_album_truth(told.truth) for told in (reference, target)]
    if truths[0] is not None and truths[1] is not None:
        return _by_scene(reference, target, [truths[0], truths[1]])
    return _by_words(reference, target, words)


def sees(picture: Image.Image, subject: Clause) -> bool:
    """Whether a scene's pixels show a shape."""
    return verify(picture, Truth(tag="subject", include=(subject,))).passed


def _by_scene(reference: Told, target: Told, truths: list[AlbumTruth]) -> Own:
    subject = truths[1].subject
    words = phrase(subject.kind or "shape", 1, subject.color or "", subject.size or "")
    if truths[0].subject != subject or not all(truth.shows_subject for truth in truths):
        return _nothing("no_shared_subject", f"not in both: {words}")
    if not all(sees(decode(told.image, told.pixels), subject) for told in (reference, target)):
        return _nothing("subject_not_seen", f"the pixels of one show no {words.partition(' ')[2]}")
    return Own(SubjectVerdict(shared=True, kind="object", subject=words), same=True)


def _by_words(reference: Told, target: Told, words: SubjectWords) -> Own:
    texts = [told.caption or _name(told.group) for told in (reference, target)]
    if not all(texts):
        return _nothing("no_caption", "and no name of a folder")
    shared = words(*texts)
    if shared is None:
        return _nothing("dissimilar_captions", "no word of the taxonomy is in both")
    return Own(SubjectVerdict(shared=True, kind=shared.kind, subject=shared.subject))


def _album_truth(text: str | None) -> AlbumTruth | None:
    try:
        return AlbumTruth.model_validate_json(text or "")
    except ValidationError:
        return None


def _name(group: str) -> str:
    """The last part of a folder's or a page's name."""
    return group.rstrip("/").rpartition("/")[2].replace("_", " ")


def _nothing(reason: str, detail: str) -> Own:
    return Own(SubjectVerdict(shared=False, kind="none", subject=""), reason=reason, detail=detail)
