"""Damage of a file takes away what it hit and no more; trouble that passes takes nothing away."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage import write_damaged_parquet
from fsspec.exceptions import FSTimeoutError

from infra.storage import list_files
from jobs.recipe import ParquetSource
from jobs.recipe.sources import (
    CommonCatalogSource,
    LlavaOneVisionSource,
    MegaMathSource,
    OmniCorpusSource,
    OneSource,
    ReLaionSource,
    TextJsonlSource,
)
from jobs.sources.damage import why_damaged
from jobs.sources.omnicorpus import links as pages
from jobs.sources.read import reader_of
from jobs.sources.url_lists import links

ROWS = 30
GROUP = 10

TURN = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
TABLES: list[tuple[type[OneSource], dict[str, pa.Array]]] = [
    (ParquetSource, {"image": pa.array([b"A"] * ROWS), "caption": pa.array(["a"] * ROWS)}),
    (CommonCatalogSource, {"jpg": pa.array([b"A"] * ROWS), "blip2_caption": pa.array(["a"] * ROWS)}),
    (MegaMathSource, {"text": pa.array([f"text {n}" for n in range(ROWS)])}),
    (
        LlavaOneVisionSource,
        {
            "image": pa.array([{"bytes": b"A"}] * ROWS),
            "conversations": pa.array([[{"from": "human", "value": "a"}]] * ROWS, TURN),
            "data_source": pa.array(["s"] * ROWS),
        },
    ),
    (
        ReLaionSource,
        {"url": pa.array([f"http://a/{n}" for n in range(ROWS)]), "caption": pa.array(["a"] * ROWS)},
    ),
    (
        OmniCorpusSource,
        {"images": pa.array([[f"http://a/{n}"] for n in range(ROWS)]), "texts": pa.array([["a"]] * ROWS)},
    ),
]


def places_and_reasons(source: OneSource) -> list[tuple[str, str | None]]:
    """Number in the file and reason of every record, or of every link where pictures are URLs."""
    reader = reader_of(source)
    found: list[tuple[str, str | None]] = []
    for shard in reader.list_shards(source, list_files(source.uri)):
        records: Any
        if isinstance(source, ReLaionSource):
            records = links(source, shard)
        elif isinstance(source, OmniCorpusSource):
            records = pages(source, shard)
        else:
            records = reader.read(source, shard, 1000, None)
        found += [(one.source.partition("#")[2], one.reason) for one in records]
    return found


@pytest.mark.parametrize(("kind", "columns"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_row_that_damage_took_away_is_a_record_and_the_rows_behind_it_are_read(
    tmp_path: Path, kind: type[OneSource], columns: dict[str, pa.Array]
) -> None:
    write_damaged_parquet(pa.table(columns), tmp_path / "a.parquet", GROUP)
    found = places_and_reasons(kind(uri=str(tmp_path)))
    suffix = "/0000" if kind is OmniCorpusSource else ""
    lost = range(GROUP, 2 * GROUP)
    assert found == [
        (f"{n:09d}", "not_parquet") if n in lost else (f"{n:09d}{suffix}", None) for n in range(ROWS)
    ]


@pytest.mark.parametrize(("kind", "columns"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_file_that_cannot_be_opened_for_now_is_not_booked_as_damaged(
    tmp_path: Path, kind: type[OneSource], columns: dict[str, pa.Array]
) -> None:
    source = kind(uri=str(tmp_path))
    pq.write_table(pa.table(columns), tmp_path / "whole")
    with socket.socket(socket.AF_UNIX) as unreadable:
        unreadable.bind(str(tmp_path / "a.parquet"))
        with pytest.raises(OSError, match="No such device") as caught:
            places_and_reasons(source)
    assert caught.value.errno == errno.ENXIO
    (tmp_path / "whole").replace(tmp_path / "a.parquet")
    assert len(places_and_reasons(source)) == ROWS


def test_a_disk_that_fails_while_lines_are_read_is_no_damage(tmp_path: Path) -> None:
    """Nothing lies at address 0 of a process's memory: a read there fails as a bad block does."""
    os.symlink("/proc/self/mem", tmp_path / "a.jsonl")
    source = TextJsonlSource(uri=str(tmp_path))
    with pytest.raises(OSError, match=r"Errno \d+"):
        places_and_reasons(source)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EBUSY, "Slow Down"), FSTimeoutError(), TimeoutError(), ConnectionResetError("reset")],
    ids=repr,
)
def test_trouble_that_passes_is_raised_again(error: OSError) -> None:
    with pytest.raises(type(error)) as caught:
        why_damaged(error, "from line 1 on")
    assert caught.value is error


@pytest.mark.parametrize(
    "error", [pa.ArrowInvalid("no\n page"), OSError("Corrupt snappy compressed data.")], ids=repr
)
def test_damage_is_said_in_one_line(error: Exception) -> None:
    assert (
        why_damaged(error, "from line 1 on") == f"not readable from line 1 on: {' '.join(str(error).split())}"
    )
