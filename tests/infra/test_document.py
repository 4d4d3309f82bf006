"""Sample ids are content: equal content, equal id; anything else, another id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.document import Document, ImageSegment, TextSegment, format_id, parse_id, sample_id

parts = st.lists(st.binary(max_size=20), max_size=4)


@given(parts, parts)
def test_ids_are_equal_exactly_when_the_content_is(a: list[bytes], b: list[bytes]) -> None:
    assert (sample_id("t2i", a) == sample_id("t2i", b)) == (a == b)


def test_moving_a_byte_between_parts_changes_the_id() -> None:
    assert sample_id("t2i", [b"ab", b"c"]) != sample_id("t2i", [b"a", b"bc"])


def test_families_have_ids_of_their_own() -> None:
    assert sample_id("t2i", [b"a"]) != sample_id("edit", [b"a"])


def test_the_id_of_known_content_never_changes() -> None:
    assert format_id(sample_id("t2i", [b"a red apple", b"\x89PNG"])) == "101473554af828fc"


@given(st.integers(0, 2**64 - 1))
def test_formatted_ids_read_back(value: int) -> None:
    assert parse_id(format_id(value)) == value


@pytest.mark.parametrize("text", ["", "12", "g" * 16, "0" * 17])
def test_malformed_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"16 hex digits|invalid literal"):
        parse_id(text)


def test_documents_read_back_from_json() -> None:
    image = ImageSegment(member="0.png", width=4, height=3, sha256="ab")
    document = Document(sample_id=7, family="t2i", segments=(TextSegment(text="hi"), image))
    assert Document.model_validate_json(document.model_dump_json()) == document
