"""The list of dropped subsets: what it says, and that it says nothing more."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from infra.catalogue import BASE_FIELDS, Counts
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_manifest
from infra.reporter import SilentReporter
from jobs.curate.edit import subsets
from jobs.specs.edit import EditSubsetSettings

JUDGED = 10


def judged(folder: Path, bad: dict[str, int]) -> str:
    """An edit/judged with ten edits of each subset, so many of them bad."""
    rows = [
        {
            "sample_id": number,
            "source": f"{subset}#{number}",
            "status": "kept",
            "subset": subset,
            "task": "add",
            "judge": "measured",
            "changed": 0.95 if number < bad[subset] else 0.3,
            "follows": True,
            "score": 7,
            "verdict": "-",
        }
        for subset in bad
        for number in range(JUDGED)
    ]
    own = {"changed": pa.float64(), "follows": pa.bool_(), "score": pa.int32()}
    names = ("subset", "task", "judge", "changed", "follows", "score", "verdict")
    schema = pa.schema([*BASE_FIELDS, *((name, own.get(name, pa.string())) for name in names)])
    output = Output(str(folder))
    table = pa.Table.from_pylist(rows, schema=schema)
    files = [
        output.publish_table("data/catalogue.parquet", table),
        output.publish_table("data/earlier.parquet", schema.empty_table()),
    ]
    counts = Counts(total=len(rows), kept=len(rows))
    output.commit(
        Manifest(asset="edit/judged", partition="d", fingerprint="f", files=tuple(files), counts=counts)
    )
    return output.uri


def audited(folder: Path, bad: dict[str, int], max_changed: float | None = 0.9) -> Manifest:
    """The manifest of edit/subsets."""
    spec = JobSpec[EditSubsetSettings](
        asset="edit/subsets",
        fingerprint="f",
        inputs={"edit/judged": [judged(folder / "judged", bad)]},
        output=str(folder / "subsets"),
        settings=EditSubsetSettings(min_score=7, max_changed=max_changed, max_bad=0.2, min_judged=5),
    )
    subsets.run(spec, SilentReporter())
    return read_manifest(spec.output)


def test_which_of_the_dropped_subsets_is_worst_changes_no_byte(tmp_path: Path) -> None:
    first = audited(tmp_path / "first", {"a": 3, "b": 4, "c": 0})
    second = audited(tmp_path / "second", {"a": 5, "b": 4, "c": 1})
    assert first.metadata["dropped"] == second.metadata["dropped"] == 2
    assert [row["subset"] for row in first.metadata["audit"]] == ["b", "a", "c"]
    assert first.hash == second.hash


def test_without_the_threshold_of_what_nobody_saw_all_stay(tmp_path: Path) -> None:
    assert audited(tmp_path, {"a": 10, "b": 4}, max_changed=None).metadata["dropped"] == 0


def test_a_subset_whose_name_looks_like_mathematics_is_shown(tmp_path: Path) -> None:
    audited(tmp_path, {"train_$5_and_$6": 3, "$\\frac{1}$": 1})
    assert (tmp_path / "subsets" / "pictures" / "subsets.png").stat().st_size > 0
