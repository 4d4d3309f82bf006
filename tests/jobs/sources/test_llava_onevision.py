"""Odd rows of LLaVA-OneVision's schema are records with reasons; odd columns are one clear line."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import UserError
from infra.storage import list_files
from jobs.recipe.sources import LlavaOneVisionSource
from jobs.sources import DialogueRecord
from jobs.sources.llava_onevision import list_shards, read

TURNS = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
ASKED = {"from": "human", "value": "What is it?"}
TOLD = {"from": "gpt", "value": "A square."}
COLUMNS = {
    "image": pa.array([{"bytes": b"A"}]),
    "conversations": pa.array([[ASKED, TOLD]], TURNS),
    "data_source": pa.array(["vqa"]),
}


def records(folder: Path, columns: dict[str, Any]) -> list[DialogueRecord]:
    pq.write_table(pa.table(COLUMNS | columns), folder / "p.parquet")
    source = LlavaOneVisionSource(uri=str(folder))
    (shard,) = list_shards(source, list_files(str(folder)))
    return list(read(source, shard, 1000, None))


def test_a_turn_that_is_null_makes_no_dialogue(tmp_path: Path) -> None:
    (record,) = records(tmp_path, {"conversations": pa.array([[ASKED, None, TOLD]], TURNS)})
    assert (record.reason, record.subset) == ("no_dialogue", "vqa")


def test_columns_without_any_value_are_no_pictures_and_no_subset(tmp_path: Path) -> None:
    (record,) = records(tmp_path, {"image": pa.nulls(1), "data_source": pa.nulls(1)})
    assert (record.reason, record.images, record.subset, len(record.turns)) == (None, (), "", 2)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("conversations", pa.array(["Human: what is it?"])),
        ("conversations", pa.array([["what is it?"]])),
        ("image", pa.array([b"A"])),
        ("image", pa.array([{"path": "a.png"}])),
        ("data_source", pa.array([7])),
    ],
)
def test_a_column_of_another_type_is_an_error(tmp_path: Path, column: str, values: Any) -> None:
    with pytest.raises(UserError, match=f"column '{column}' holds .*, not "):
        records(tmp_path, {column: values})
