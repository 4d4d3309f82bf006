"""Whatever a column holds becomes a JSON value or nothing, and no record is lost for it."""

import datetime
from typing import Any

import pyarrow as pa
import pytest

from jobs.sources.values import metadata_json, plain

ODD = [
    pa.scalar(1 << 60, pa.timestamp("ms")),
    pa.scalar(2_000_000_000, pa.date32()),
    pa.scalar(1 << 62, pa.duration("s")),
    pa.scalar(0, pa.timestamp("s", tz="Nowhere/Land")),
]


@pytest.mark.parametrize("scalar", ODD)
def test_what_no_python_value_can_hold_is_nothing(scalar: pa.Scalar) -> None:
    assert plain(scalar) is None
    assert metadata_json({"a": scalar, "b": pa.scalar(1)}, ()) == '{"b":1}'


BROKEN = pa.array([b"caf\xe9"], pa.binary()).view(pa.string())


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (pa.ListArray.from_arrays([0, 1], BROKEN), ["caf\ufffd"]),
        (pa.StructArray.from_arrays([BROKEN, pa.array([7])], ["a", "b"]), {"a": "caf\ufffd", "b": 7}),
        (pa.array([[[1.5, None]]]), [[1.5, None]]),
        (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [1, 2]),
        (pa.array([datetime.date(2024, 5, 1)]), "2024-05-01"),
        (pa.array([None], pa.list_(pa.string())), None),
        (pa.array([None], pa.struct([("a", pa.string())])), None),
    ],
)
def test_values_within_lists_and_structs_are_taken_singly(array: Any, value: Any) -> None:
    assert plain(array[0]) == value
