"""Selection by looks and by meaning: thresholds on stored numbers, and nothing by default."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.catalogue import BASE_FIELDS
from infra.manifest import read_manifest
from jobs.curate.stage import kept_rows, read_catalogue
from jobs.curate.t2i.embeddings import read_embeddings
from jobs.curate.t2i.select import select
from jobs.recipe import FolderSource, T2ICuration
from jobs.recipe.curation.t2i import Embedding, Selection

ANGLES = {"a": 0.0, "b": 0.05, "c": 0.9, "d": 0.02, "e": 3.0}
"""Of unit vectors, in radians."""


def rows(**aesthetic: float) -> pa.Table:
    schema = pa.schema([*BASE_FIELDS, ("aesthetic", pa.float64()), ("duplicate_of", pa.uint64())])
    found = [
        {"sample_id": n, "source": name, "status": "kept", "aesthetic": aesthetic.get(name, 5.0)}
        for n, name in enumerate(ANGLES)
    ]
    return pa.Table.from_pylist(found, schema=schema)


def vectors() -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    return np.array([[np.cos(angle), np.sin(angle)] for angle in ANGLES.values()], np.float16)


def reasons(table: pa.Table) -> dict[str, str | None]:
    return {row["source"]: row["reason"] for row in table.to_pylist()}


def test_the_defaults_keep_everything() -> None:
    assert set(reasons(select(rows(a=-9.0), vectors(), Selection())).values()) == {None}


def test_the_first_of_those_that_mean_the_same_stays() -> None:
    table = select(rows(), vectors(), Selection(min_similarity=0.99))
    assert {name for name, reason in reasons(table).items() if reason == "embedding_duplicate"} == {"b", "d"}
    by_name = {row["source"]: row for row in table.to_pylist()}
    assert [by_name[name]["duplicate_of"] for name in ANGLES] == [None, 0, None, 0, None]
    assert by_name["b"]["similarity"] == pytest.approx(np.cos(0.05), abs=1e-3)
    assert by_name["a"]["similarity"] is None


def test_a_picture_that_went_for_its_looks_stands_for_no_other() -> None:
    table = select(rows(a=1.0), vectors(), Selection(min_aesthetic=2.0, min_similarity=0.99))
    assert reasons(table) == {
        "a": "low_aesthetic",
        "b": None,
        "c": None,
        "d": "embedding_duplicate",
        "e": None,
    }
    assert table["detail"][0].as_py() == "1, the limit is 2"


def test_the_limit_of_looks_is_inclusive() -> None:
    assert reasons(select(rows(a=2.0, b=1.99), vectors(), Selection(min_aesthetic=2.0)))["a"] is None
    assert reasons(select(rows(b=1.99), vectors(), Selection(min_aesthetic=2.0)))["b"] == "low_aesthetic"


def test_the_job_decides_by_what_is_stored(
    curate: Callable[..., dict[str, str]], source: FolderSource, embedded: dict[str, str], tmp_path: Path
) -> None:
    kept = kept_rows(read_catalogue(embedded["filtered"]))
    sources = kept["source"].to_pylist()
    vectors_ND = read_embeddings(embedded["embedded"], sources).astype(np.float64)
    cosines = np.tril(vectors_ND @ vectors_ND.T, -1)
    limit = float(np.sort(cosines, axis=None)[-5:].mean())  # between the nearest pairs
    expected: dict[str, str | None] = {}
    for row, name in enumerate(sources):
        near = [other for other in np.flatnonzero(cosines[row] >= limit) if expected[sources[other]] is None]
        expected[name] = "embedding_duplicate" if near else None

    curation = T2ICuration(embedding=Embedding(), selection=Selection(min_similarity=limit))
    folders = curate(source, tmp_path, curation, finished=embedded, only=("selected",))
    manifest = read_manifest(folders["selected"])
    assert reasons(read_catalogue(folders["selected"])) == expected
    assert 1 <= manifest.counts.rejected["embedding_duplicate"] <= 5
    assert manifest.counts.total == len(sources)
    names = {path.stem for path in (tmp_path / "selected" / "pictures").iterdir()}
    assert names == {"kept", "rejected-embedding_duplicate"}
