"""The simulation of packers: on the documents that packing would take, with packing's own limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from infra.errors import UserError
from infra.job import JobSpec, load_job, spec_type
from infra.manifest import Manifest, Output
from infra.reporter import SilentReporter
from jobs.pack.columns import FAMILIES
from jobs.pack.inputs import find_files
from jobs.pack.packers import PACKERS
from jobs.pack.records import Cost
from jobs.pack.run import run as pack
from jobs.recipe import Model, Packing
from jobs.specs import PackSettings
from jobs.specs.what_if import ComparePackersSettings
from jobs.what_if.documents import choose, read_sample
from jobs.what_if.packers import run
from tests.jobs.pack.conftest import WriteTokens, tokenizer, write_tokens

__all__ = ["tokenizer", "write_tokens"]  # fixtures of packing's own tests

T2I, TEXT = range(1, 400), range(1000, 1700)
MIXTURE = {"t2i": 3.0, "text": 1.0}


@pytest.fixture
def folders(write_tokens: WriteTokens) -> list[str]:
    """Pictures with captions in two drops, one id twice, and texts."""
    drops = [write_tokens("a", [T2I[:200]]), write_tokens("b", [T2I[200:300], [*T2I[300:], 5]])]
    return [*drops, write_tokens("", [TEXT], "text", None)]


def settings(mixture: dict[str, float] = MIXTURE, **packing: Any) -> PackSettings:
    return PackSettings(
        stage_name="pretrain",
        mixture=mixture,
        packing=Packing(**{"max_tokens": 128, **packing}),
        model=Model(preset="tiny"),
        packs_per_step=4,
    )


def spec_of(kind: type[Any], own: Any, folders: Sequence[str], tokenizer: str, output: Path) -> Any:
    inputs = {f"tokens/{n}": [folder] for n, folder in enumerate(folders)} | {"tokenizer/joint": [tokenizer]}
    return JobSpec[kind](asset="x", fingerprint="f", inputs=inputs, output=str(output), settings=own)


def simulate(
    folders: Sequence[str], tokenizer: str, output: Path, ranks: int = 4, **packing: Any
) -> Manifest:
    own = ComparePackersSettings(pack=settings(**packing), ranks=ranks)
    return run(spec_of(ComparePackersSettings, own, folders, tokenizer, output), SilentReporter())


def test_the_documents_are_those_that_packing_takes(
    ray_session: None, folders: list[str], tokenizer: str, tmp_path: Path
) -> None:
    packed = pack(spec_of(PackSettings, settings(), folders, tokenizer, tmp_path / "packs"), SilentReporter())
    cost = Cost(packed.metadata["cost_per_position"], packed.metadata["cost_per_pair"])
    documents = read_sample(find_files(folders), cost, 0, SilentReporter())
    found = choose(documents, settings().packing, MIXTURE, 0, "here")
    assert found.limits.cost == pytest.approx(packed.metadata["budget_cost"])
    kept = {
        row["sample_id"]
        for path in packed.paths(".parquet")
        if "catalogue" in path
        for row in pq.read_table(tmp_path / "packs" / path).to_pylist()
        if row["status"] == "kept"
    }
    assert set(documents.ids[found.reasons == ""].tolist()) == kept
    simulated = simulate(folders, tokenizer, tmp_path / "answer")
    assert simulated.counts == packed.counts
    assert simulated.counts.rejected["duplicate"] == 1


def test_the_order_of_the_inputs_changes_nothing(folders: list[str], tokenizer: str, tmp_path: Path) -> None:
    one = simulate(folders, tokenizer, tmp_path / "one")
    other = simulate(folders[::-1], tokenizer, tmp_path / "other")
    assert one.hash == other.hash
    assert one.metadata == other.metadata
    assert set(one.metadata["packers"]) == set(PACKERS)
    assert one.metadata["packers"]["fixed_budget"]["throughput"] == 1.0
    assert Output(str(tmp_path / "one")).pictures().keys() == {"packers"}


def test_what_is_asked_for_changes_the_answer(folders: list[str], tokenizer: str, tmp_path: Path) -> None:
    answers = [
        simulate(folders, tokenizer, tmp_path / str(n), **changed).metadata["packers"]["balanced"]
        for n, changed in enumerate(({}, {"max_tokens": 512}, {"fill": 0.5}, {"ranks": 1}))
    ]
    packs, larger, emptier, alone = answers
    assert larger["packs"] < packs["packs"] < emptier["packs"]
    assert alone["balance"] == 1.0 > packs["balance"], "a step of one pack waits for nobody"


def test_a_large_stage_is_sampled_by_ids(folders: list[str]) -> None:
    files = find_files(folders)
    whole = read_sample(files, Cost(1.0, 0.0), 0, SilentReporter())
    part = read_sample(files, Cost(1.0, 0.0), 0, SilentReporter(), size=400)
    fewer = read_sample(
        files[:1], Cost(1.0, 0.0), 0, SilentReporter(), size=files[0].rows * 400 // len(whole)
    )
    assert 300 < len(part) < 500
    assert set(part.ids.tolist()) < set(whole.ids.tolist())
    assert np.isin(fewer.ids, part.ids).mean() > 0.95, "other files do not decide which ids are taken"
    assert len(read_sample(files, Cost(1.0, 0.0), 1, SilentReporter(), size=400)) != len(whole)


def test_a_family_that_cannot_be_packed_is_one_line(
    folders: list[str], tokenizer: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"stage 'pretrain': no document of edit fits a pack"):
        simulate(folders, tokenizer, tmp_path / "answer", mixture={"t2i": 1.0, "edit": 1.0})
    assert "edit" in FAMILIES


def test_the_launcher_knows_the_job() -> None:
    assert spec_type(load_job("jobs.what_if.packers:run")) is JobSpec[ComparePackersSettings]
