"""What two captions both name, by a small taxonomy of words (`curation.subject.words`).

Words tell the class and not the individual: two captions that say `a dog` need not show the same dog.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from jobs.recipe.curation.subject import SubjectType

_KINDS: tuple[SubjectType, ...] = get_args(SubjectType)
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Shared:
    """A subject that two texts name."""

    subject: str
    kind: SubjectType


class SubjectWords:
    """Finds the subject that two captions share."""

    def __init__(self, words: Mapping[SubjectType, Sequence[str]]) -> None:
        self._kinds = {_fold(word): kind for kind in reversed(_KINDS) for word in words.get(kind, ())}

    def __call__(self, one: str, other: str) -> Shared | None:
        """The first word of `other`, of the first kind, that both texts have; None where they share none."""
        elsewhere = set(self._known(one))
        shared = [(word, self._kinds[word]) for word in self._known(other) if word in elsewhere]
        if not shared:
            return None
        return Shared(*min(shared, key=lambda pair: _KINDS.index(pair[1])))

    def _known(self, text: str) -> list[str]:
        """The words of the taxonomy in a text, in its order."""
        found = (next((form for form in _forms(word) if form in self._kinds), None) for word in _split(text))
        return [word for word in found if word is not None]


def _split(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _forms(word: str) -> tuple[str, ...]:
    """What a word may be a plural of; shoes and tomatoes, vases and buses end alike, so both are tried."""
    either = word.endswith(("oes", "ses", "zes"))
    return (_fold(word), word[:-2]) if either else (_fold(word),)


def _fold(word: str) -> str:
    """The singular of a regular English plural, without the `s` where an `es` might go as well; other words
    stay as they are."""
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")):
        return word[:-1]
    return word
