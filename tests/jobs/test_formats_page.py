"""The page on formats says what the files hold, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.schemas import (
    FORMAT,
    FORMAT_KEY,
    PACKS_SCHEMA,
    PROVENANCE_KEY,
    SCHEDULES_KEY,
    TOKENS_SCHEMA,
    with_metadata,
)
from model.scales import square
from tests.jobs.test_readers import publish, row

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")


def columns(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_the_page_names_every_column_in_order() -> None:
    assert columns("Columns of tokens") == TOKENS_SCHEMA.names
    assert columns("Columns of packs") == PACKS_SCHEMA.names


def test_the_page_names_the_metadata_and_the_version() -> None:
    assert all(f"`{key.decode()}`" in PAGE for key in (FORMAT_KEY, SCHEDULES_KEY, PROVENANCE_KEY))
    assert f"this software writes and reads {FORMAT} |" in PAGE


def test_the_example_reads_packs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema: pa.Schema = with_metadata(PACKS_SCHEMA, [square([1, 2], 8)], {})
    rows = [[{"pack": 0, "documents": [row(3) | {"repeat": 0}], "tokens": 4, "cost": 1.0}]]
    folder = publish(tmp_path, "packs/pretrain_256", rows, schema)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(re.sub(r'PackReader\(\[".*?"\]\)', f"PackReader([{folder!r}])", code), {})
    assert "text text [0 1 2 3]" in capsys.readouterr().out
