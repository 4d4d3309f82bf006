"""What a caption calls the object it describes, in words that an instruction can use.

The rule: the caption's first clause (up to punctuation or a bracket), without words such as `a photo of`,
and up to the first word that leads on to something else (`with`, `in`, `used`, `is`, ...). It is a name if
it begins with an article, a number or `some`, and has one to five more words, none of which joins two
things or starts another phrase. Otherwise the object has no name and is called `the object`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A noun phrase: `the brown bear` where it is known, `a brown bear` where it is new."""

    definite: str
    indefinite: str


NAMELESS = Name("the object", "an object")

_CLAUSE_END = re.compile(r"[.,;:!?()\[\]–—\n]|--| - ")
_FRAME = re.compile(
    r"^(?:(?:an?|the) )?(?:photo|photograph|picture|image|drawing|painting|illustration) of ", re.I
)
_LEADS_ON = re.compile(
    r" (?:with|without|in|on|at|by|near|from|for|to|into|over|under|behind|beside|above|below|toward|towards|"
    r"used|called|named|made|seen|shown|that|which|who|whose|is|are|was|were|has|have)\b.*$",
    re.I,
)
_ARTICLE = re.compile(r"^(an?|the|some|two|three|four|five|six) (.+)$", re.I)
_JOINS = re.compile(r"\b(?:and|or|&)\b|(?<!\bof) \b(?:an?|the|its|their|his|her)\b", re.I)
_MOST_WORDS = 5


def name_of(caption: str) -> Name | None:
    """The name of the object of a caption, or None."""
    clause = _CLAUSE_END.split(caption.strip(), maxsplit=1)[0].strip()
    ends_with_comma = caption.strip()[len(clause) :].lstrip().startswith(",")
    framed = _FRAME.sub("", clause)
    whole = _LEADS_ON.sub("", framed)
    found = _ARTICLE.match(whole)
    if not found:
        return None
    article, noun = found[1].lower(), found[2]
    words = noun.split()
    cut_off = whole != framed
    # "A ripe, red tomato", "A spider dancing with a fly": the noun, or its object, is yet to come.
    incomplete = (ends_with_comma and len(words) == 1) or (cut_off and words[-1].endswith("ing"))
    if len(words) > _MOST_WORDS or incomplete or _JOINS.search(f" {noun}"):
        return None
    return Name(_definite(article, noun), f"{article} {noun}")


def _definite(article: str, noun: str) -> str:
    return f"the {noun}" if article in ("a", "an", "the", "some") else f"the {article} {noun}"
