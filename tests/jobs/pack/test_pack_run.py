"""The packing job: what goes in comes out once, whatever the order, the sweeps or a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, read_table
from infra.reporter import SilentReporter
from jobs.pack import write
from jobs.pack.run import run
from jobs.recipe import Model, Packing
from jobs.schemas import from_row, read_provenance, read_schedules
from jobs.specs import PackSettings
from tests.jobs.pack.conftest import SCHEDULE, WriteTokens, document

IDS = [[5, 1, 9], [2**63 + 7, 4], list(range(100, 160))]


def pack(
    folders: list[str], output: Path, seed: int = 0, max_tokens: int = 128, **mixture: float
) -> Manifest:
    settings = PackSettings(
        stage_name="alignment",
        mixture=mixture or {"t2i": 1.0},
        packing=Packing(max_tokens=max_tokens),
        model=Model(preset="tiny"),
    )
    inputs = {f"tokens/{i}": [folder] for i, folder in enumerate(folders)}
    spec: JobSpec[Any] = JobSpec[PackSettings](
        asset="packs/alignment",
        fingerprint="f",
        seed=seed,
        inputs=inputs,
        output=str(output),
        settings=settings,
    )
    return run(spec, SilentReporter())


def packed(output: Path) -> list[dict[str, Any]]:
    files = sorted(output.glob("data/packs-*.parquet"))
    return [row for file in files for row in read_table(str(file)).to_pylist()]


def test_every_document_arrives_once_with_its_payload(write_tokens: WriteTokens, tmp_path: Path) -> None:
    manifest = pack([write_tokens("d0", IDS)], tmp_path / "out")
    packs = packed(tmp_path / "out")
    rows = [row for p in packs for row in p["documents"]]
    assert sorted(r["sample_id"] for r in rows) == sorted(i for ids in IDS for i in ids)
    assert [p["pack"] for p in packs] == list(range(len(packs)))
    assert manifest.counts == Counts(total=65, kept=65)
    for row in rows:
        expected, tokens = document(row["sample_id"], "t2i")
        assert row["tokens"] == tokens
        for got, want in zip(from_row(row).segments, expected.segments, strict=True):
            assert got.ids.tolist() == want.ids.tolist()
            assert got.targets.tolist() == want.targets.tolist()
            assert got.inputs.tolist() == want.inputs.tolist()
    assert all(p["tokens"] == sum(d["tokens"] for d in p["documents"]) <= 128 for p in packs)


def test_files_say_what_their_rows_use(write_tokens: WriteTokens, tmp_path: Path) -> None:
    pack([write_tokens("d0", IDS)], tmp_path / "out", seed=3)
    schema = pq.read_schema(tmp_path / "out/data/packs-00000.parquet")
    assert read_schedules(schema) == {SCHEDULE.name: SCHEDULE}
    assert read_provenance(schema)["tokenizer"] == "t"
    assert read_provenance(schema)["seed"] == 3


def test_the_order_of_folders_changes_no_byte_and_the_seed_does(
    write_tokens: WriteTokens, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", IDS[:1]), write_tokens("d1", IDS[1:])]
    one = pack(folders, tmp_path / "a")
    assert pack(folders[::-1], tmp_path / "b").hash == one.hash
    assert pack(folders, tmp_path / "c", seed=1).hash != one.hash


def test_sweeps_and_resumed_runs_give_the_same_bytes(
    write_tokens: WriteTokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "FILE_PACKS", 4)
    folders = [write_tokens("d0", IDS)]
    whole = pack(folders, tmp_path / "a")
    assert len(whole.files) > 4
    monkeypatch.setattr(write, "SWEEP_TOKENS", 1)
    assert pack(folders, tmp_path / "b").hash == whole.hash
    (tmp_path / "a/manifest.parquet").unlink()
    (tmp_path / "a/units/packs-00001.json").unlink()
    (tmp_path / "a/data/packs-00001.parquet").write_bytes(b"half of a fi")
    assert pack(folders, tmp_path / "a").hash == whole.hash


def test_a_document_in_two_drops_and_a_long_one_are_rejected_with_a_reason(
    write_tokens: WriteTokens, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", [[1, 2, 3, 4]]), write_tokens("d1", [[3]])]
    longest = max((1, 2, 3, 4), key=lambda i: document(i, "t2i")[1])
    cap = max(64, document(longest, "t2i")[1])
    manifest = pack(folders, tmp_path / "out", max_tokens=cap)
    catalogue = read_table(str(tmp_path / "out/data/catalogue.parquet")).to_pylist()
    assert len(catalogue) == manifest.counts.total == 5
    assert len({row["source"] for row in catalogue}) == 5
    assert [r["source"] for r in catalogue if r["reason"] == "duplicate"] == [
        "tokens/t2i/d1/data/unit-0.parquet#0000000000000003"
    ]
    assert {r["pack"] is None for r in catalogue if r["status"] == "rejected"} == {True}


def test_a_family_without_documents_is_one_clear_line(write_tokens: WriteTokens, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no documents of video"):
        pack([write_tokens("d0", IDS)], tmp_path / "out", t2i=1.0, video=1.0)


def test_tokens_of_two_tokenizers_are_refused(write_tokens: WriteTokens, tmp_path: Path) -> None:
    folders = [write_tokens("d0", [[1]]), write_tokens("d1", [[2]], tokenizer="another")]
    with pytest.raises(UserError, match="different tokenizers"):
        pack(folders, tmp_path / "out")
