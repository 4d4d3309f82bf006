"""Every blocking check of texts holds for a right catalogue and fails for a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from assets.checks import Check, Published
from assets.checks.text import MIXTURE, THRESHOLDS
from infra.catalogue import BASE_FIELDS, Counts
from infra.manifest import Manifest, Output
from jobs.curate.text.filter import decide
from jobs.curate.text.score import SCORES_SCHEMA, score_row
from jobs.recipe.curation.text import TextCuration, TextDuplicates, TextFilters
from jobs.recipe.sources import TextJsonlSource
from jobs.scenes.texts import write_text
from jobs.sources import TextRecord
from jobs.specs.text import TextFilterSettings, TextMixSettings

Row = dict[str, Any]
Change = Callable[[list[Row]], object]

FILTERS = TextFilters(min_words=30)
FILTERED = TextFilterSettings(filters=FILTERS, duplicates=TextDuplicates())
WEIGHTED = TextMixSettings(
    source=TextJsonlSource(uri="there"), max_bytes=1000, weights={"web": 3.0, "maths": 1.0}
)


def published(folder: Path, table: pa.Table, settings: Any) -> Published:
    output = Output(str(folder))
    entry = output.publish_table("data/catalogue.parquet", table)
    counts = Counts(total=len(table), kept=len(table))
    manifest = Manifest(asset="text/mixed", partition=None, fingerprint="", files=(entry,), counts=counts)
    return Published(str(folder), output.commit(manifest), {}, settings)


def verdict(check: Check, output: Published) -> bool:
    found = check.run(output)
    assert found.why
    assert "\n" not in found.why
    return found.passed


@pytest.fixture(scope="module")
def filtered() -> pa.Table:
    """A catalogue of text/filtered, of sixty texts and one that is too short."""
    texts = [*(write_text(3, n).text for n in range(60)), "Short."]
    rows = [score_row(TextRecord(f"x#{n:06d}", text), "s", "") for n, text in enumerate(texts)]
    return decide(pa.Table.from_pylist(rows, schema=SCORES_SCHEMA), FILTERS, TextDuplicates())


def test_thresholds_hold_for_what_was_decided(filtered: pa.Table, tmp_path: Path) -> None:
    assert verdict(THRESHOLDS, published(tmp_path, filtered, FILTERED))


@pytest.mark.parametrize(
    "values",
    [
        {"characters": 10},
        {"characters": 10**6},
        {"words": 3},
        {"word_length": 2.0},
        {"word_length": 11.0},
        {"symbols": 0.2},
        {"alphabetic": 0.1},
        {"stop_words": 1},
        {"bullet_lines": 1.0},
        {"ellipsis_lines": 0.4},
        {"repeated_lines": 0.4},
        {"top_phrase": 0.3},
    ],
)
def test_a_kept_text_against_a_threshold_is_found(
    filtered: pa.Table, tmp_path: Path, values: dict[str, float]
) -> None:
    rows = filtered.to_pylist()
    next(row for row in rows if row["status"] == "kept").update(values)
    table = pa.Table.from_pylist(rows, schema=filtered.schema)
    assert not verdict(THRESHOLDS, published(tmp_path, table, FILTERED))


def mixed() -> list[Row]:
    """Of 20 texts of web 15 stay, of 5 of mathematics all: the shares are 3 to 1. One repeats another."""
    rows = [
        {
            "sample_id": n,
            "source": f"s{n:02d}",
            "status": "kept" if n < 20 else "rejected",
            "reason": None if n < 20 else "over_quota",
            "subset": "maths/books" if n < 5 else "web",
            "characters": 100,
            "stage": "mixed",
        }
        for n in range(25)
    ]
    repeated = {"source": "s98", "status": "rejected", "reason": "exact_duplicate"}
    short = {"source": "s99", "status": "rejected", "reason": "short", "stage": "filtered"}
    return [*rows, rows[0] | repeated, rows[0] | short]


def of_texts(rows: list[Row]) -> pa.Table:
    fields = [("subset", pa.string()), ("characters", pa.int64()), ("stage", pa.string())]
    return pa.Table.from_pylist(rows, schema=pa.schema([*BASE_FIELDS, *fields]))


def stays(rows: list[Row], *numbers: int) -> None:
    for number in numbers:
        rows[number].update(status="kept", reason=None)


def goes(rows: list[Row], *numbers: int) -> None:
    for number in numbers:
        rows[number].update(status="rejected", reason="over_quota")


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda rows: None, True),
        (lambda rows: goes(rows, 19), False),
        (lambda rows: stays(rows, 20), False),
        (lambda rows: rows[19].update(characters=50), True),  # the next text would exceed the quota
        (lambda rows: goes(rows, 0, 1, 2, 3, 4), False),
        (lambda rows: rows[26].update(status="kept", reason=None, stage="mixed"), False),
        (lambda rows: rows[25].update(reason="over_quota"), False),
        (lambda rows: rows[0].update(subset="books"), False),
    ],
)
def test_subsets_have_their_quotas(tmp_path: Path, change: Change, holds: bool) -> None:
    rows = mixed()
    change(rows)
    assert verdict(MIXTURE, published(tmp_path, of_texts(rows), WEIGHTED)) is holds


def test_a_subset_of_which_nothing_is_taken_is_found(tmp_path: Path) -> None:
    """Also where its quota is less than a text: the mix lacks what the recipe asks for."""
    rows = [row for row in mixed() if row["subset"] == "web"]
    goes(rows, *range(len(rows)))
    stays(rows, 0, 1, 2)
    rows.append(rows[-1] | {"source": "s50", "subset": "maths", "characters": 5000})
    settings = WEIGHTED.model_copy(update={"weights": {"web": 3.0, "maths": 0.5}})
    assert not verdict(MIXTURE, published(tmp_path, of_texts(rows), settings))


def test_shares_are_held_to_the_recipe_and_not_to_what_the_job_says(tmp_path: Path) -> None:
    settings = WEIGHTED.model_copy(update={"weights": {"web": 1.0, "maths": 1.0}})
    assert not verdict(MIXTURE, published(tmp_path / "even", of_texts(mixed()), settings))
    everything = WEIGHTED.model_copy(update={"weights": {}})
    assert not verdict(MIXTURE, published(tmp_path / "part", of_texts(mixed()), everything))
    rows = mixed()
    stays(rows, *range(25))
    assert verdict(MIXTURE, published(tmp_path / "all", of_texts(rows), everything))


@pytest.mark.parametrize(
    "weights",
    [{"web": -1, "maths": 1}, {"web": 0}, {"web": float("nan"), "maths": 1}, {"web": float("inf")}],
)
def test_weights_that_are_no_shares_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="finite numbers that are not negative, one of them above 0"):
        TextCuration(weights=weights)


def test_weights_may_be_left_out_or_name_what_is_not_taken() -> None:
    assert TextCuration().weights == {}
    assert TextCuration(weights={"web": 1, "maths": 0}).weights["maths"] == 0
