import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.sources import json_array
from jobs.sources.json_array import DamagedError, iter_elements, iter_elements_from

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(VALUES, max_size=8),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.integers(1, 40),
    st.sampled_from([b"", b"\xef\xbb\xbf", b" \n"]),
)
def test_elements_are_those_of_the_whole_file_whatever_the_blocks(
    values: list[object], indent: int | None, ascii_only: bool, block: int, before: bytes
) -> None:
    data = before + json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "_BLOCK", block)
        found = list(iter_elements(io.BytesIO(data)))
        assert [element.value for element in found] == json.loads(data.decode("utf-8-sig"))
        for number, element in enumerate(found):
            again = list(iter_elements_from(io.BytesIO(data), element.offset))
            assert again == found[number:]


@pytest.mark.parametrize(
    ("data", "good", "problem"),
    [
        (b"", 0, "no JSON array"),
        (b'{"a": 1}', 0, "no JSON array"),
        (b'[{"a": 1}, {"a"', 1, "no JSON, or cut off"),
        (b'[{"a": 1}, ', 1, "cut off"),
        (b'[{"a": 1} {"a": 2}]', 1, "no comma between elements"),
        (b'[{"a": 1}, nonsense]', 1, "no JSON, or cut off"),
        (b'[1, "\xff"]', 1, "not UTF-8"),
        (b"[1, " + b"[" * 100_000 + b"]", 1, "no JSON, or cut off"),
    ],
)
def test_what_comes_before_a_damage_is_given(data: bytes, good: int, problem: str) -> None:
    elements = iter_elements(io.BytesIO(data))
    for _ in range(good):
        next(elements)
    with pytest.raises(DamagedError, match=problem):
        next(elements)


def test_an_element_beyond_the_limit_is_damage_and_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "MAX_ELEMENT_BYTES", 5000)
    monkeypatch.setattr(json_array, "_BLOCK", 1000)
    stream = io.BytesIO(b'["' + b"x" * 1_000_000 + b'"]')
    with pytest.raises(DamagedError, match="no JSON within 5000 bytes"):
        list(iter_elements(stream))
    assert stream.tell() < 10_000
