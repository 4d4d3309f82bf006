"""Normalising captions: what a caption becomes, or why it cannot be used."""

from __future__ import annotations

import unicodedata

from jobs.recipe import Captions

Verdict = tuple[str | None, str | None, str | None]
"""(text, reason, detail): either a text, or a reason with its detail."""


def judge_caption(caption: str | None, problem: str | None, settings: Captions) -> Verdict:
    """The normalised caption, or the reason `caption_*` or `no_caption` for its rejection.

    Args:
        caption: as the source has it.
        problem: the reason why the source could not give one that is there.
        settings: limits of the length, in characters after normalising.
    """
    if problem:
        return None, problem, None
    text = normalise(caption or "")
    if not text:
        return None, "no_caption", None
    if len(text) < settings.min_characters:
        return None, "caption_short", f"{len(text)} characters, the limit is {settings.min_characters}"
    if len(text) > settings.max_characters:
        return None, "caption_long", f"{len(text)} characters, the limit is {settings.max_characters}"
    return text, None, None


def normalise(text: str) -> str:
    """Unicode NFC, without control characters, every run of whitespace one space."""
    composed = unicodedata.normalize("NFC", text).replace("\ufeff", "")
    visible = "".join(c for c in composed if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(visible.split())
