"""Values of tables as text and JSON, whatever their columns hold."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from jobs.sources import caption_text

Row = Mapping[str, Any]
"""A row's Arrow scalars by column."""


def text(value: Any) -> tuple[str | None, str | None]:
    """A scalar as caption text and what is wrong with it; (None, None) where it is null or no text."""
    data = text_bytes(value) if value is not None else None
    return (None, None) if data is None else caption_text(data)


def text_bytes(scalar: Any) -> bytes | None:
    """The bytes of text, which Arrow does not promise to be UTF-8; None where a scalar is null or no text."""
    if not scalar.is_valid or not is_text(scalar.type):
        return None
    return bytes(scalar.as_buffer().to_pybytes())


def is_text(type_: pa.DataType) -> bool:
    """Whether a column is of strings."""
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def is_bytes(type_: pa.DataType) -> bool:
    """Whether a column is of bytes."""
    return bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_))


def is_list(type_: pa.DataType) -> bool:
    """Whether a column is of lists."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(kind(type_) for kind in kinds)


def metadata_json(row: Row, without: Collection[str]) -> str | None:
    """All other columns that have a value as a JSON object; binary ones are left out."""
    values = {name: plain(scalar) for name, scalar in row.items() if name not in without}
    return canonical({name: value for name, value in values.items() if value is not None})


def canonical(values: Mapping[str, Any]) -> str | None:
    """A JSON object in one spelling, or None where it is empty."""
    if not values:
        return None
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(scalar: Any) -> Any:
    """A scalar as a JSON value; bytes that are no UTF-8 are replaced, what JSON cannot say is None."""
    if not scalar.is_valid:
        return None
    if is_text(scalar.type):
        return scalar.as_buffer().to_pybytes().decode("utf-8", "replace")
    # One by one, so that a value that cannot be said takes no other away.
    if is_list(scalar.type):
        return [plain(one) for one in scalar.values]
    try:
        if pa.types.is_struct(scalar.type):
            return {name: plain(one) for name, one in scalar.items()}
        return json_value(scalar.as_py())
    except (ValueError, OverflowError, KeyError):
        return None  # such as a year beyond 9999, a zone that there is not, two fields of one name


def json_value(value: Any) -> Any:
    """A value as JSON has them: no NaN, no bytes, and times and decimals as text."""
    if value is None or isinstance(value, bytes):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_utf8(str(name)): json_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    if isinstance(value, str):
        return _utf8(value)
    return value if isinstance(value, bool | int) else str(value)


def _utf8(text: str) -> str:
    """Text with every lone surrogate, which JSON can spell, replaced."""
    return text.encode("utf-8", "replace").decode()
