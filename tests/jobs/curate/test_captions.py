import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.curate.captions import judge_caption, normalise
from jobs.recipe import Captions


@pytest.mark.parametrize(
    ("caption", "problem", "text", "reason"),
    [
        ("  a \t red\n disc ", None, "a red disc", None),
        ("cafe\u0301", None, "caf\u00e9", None),
        ("a\u0000b\u0007c\ufeff", None, "abc", None),
        (None, None, None, "no_caption"),
        (" \n\u0000", None, None, "no_caption"),
        (None, "caption_not_utf8", None, "caption_not_utf8"),
        ("ab", None, None, "caption_short"),
        ("x" * 51, None, None, "caption_long"),
        ("x" * 50, None, "x" * 50, None),
    ],
)
def test_verdicts(caption: str | None, problem: str | None, text: str | None, reason: str | None) -> None:
    assert judge_caption(caption, problem, Captions(max_characters=50))[:2] == (text, reason)


@given(st.text())
def test_normalising_is_stable_and_clean(text: str) -> None:
    clean = normalise(text)
    assert normalise(clean) == clean
    assert clean == clean.strip()
    assert not any(unicodedata.category(c) == "Cc" for c in clean)
    assert "  " not in clean
