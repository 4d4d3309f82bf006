"""The packing job: what goes in comes out, whatever the order, the units, the workers or a kill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import KilledError

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec, Resources
from infra.manifest import Manifest, Output, Receipt, read_table
from infra.reporter import Reporter, SilentReporter
from jobs.models import load_text, transformer_config
from jobs.pack import plan, steps, write
from jobs.pack.assign import pack_window
from jobs.pack.columns import Columns, make_salt
from jobs.pack.packers import PACKERS, Limits
from jobs.pack.run import run
from jobs.readers import PackReader
from jobs.recipe import Model, Packing
from jobs.schemas import from_row, read_provenance, read_schedules
from jobs.specs import PackSettings
from jobs.units import Unit
from model.tokenizer import TokenizerConfig
from model.transformer.cost import flops_per_pair, flops_per_position
from tests.jobs.pack.conftest import LONG, SCHEDULE, WriteTokens, document, pairs_of

IDS = [[5, 1, 9], [2**63 + 7, 4], list(range(100, 160))]
Pack = Callable[..., Manifest]


@pytest.fixture
def pack(tokenizer: str) -> Pack:
    """`pack(folders, output, seed, mixture, forgotten, report, **packing)` -> the manifest."""

    def do(
        folders: Sequence[str],
        output: Path | str,
        *,
        seed: int = 0,
        mixture: dict[str, float] | None = None,
        forgotten: tuple[int, ...] = (),
        report: Reporter | None = None,
        **packing: Any,
    ) -> Manifest:
        settings = PackSettings(
            stage_name="alignment",
            mixture=mixture or {"t2i": 1.0},
            packing=Packing(**{"max_tokens": 128, **packing}),
            model=Model(preset="tiny"),
            packs_per_step=2,
            forgotten=forgotten,
        )
        inputs = {f"tokens/{i}": [folder] for i, folder in enumerate(folders)}
        spec: JobSpec[Any] = JobSpec[PackSettings](
            asset="packs/alignment",
            fingerprint="f",
            seed=seed,
            inputs=inputs | {"tokenizer/joint": [tokenizer]},
            output=str(output),
            settings=settings,
        )
        return run(spec, report or SilentReporter())

    return do


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than packing a few documents; tests of pictures draw."""
    for name in ("pack_fill", "packer_bars"):
        monkeypatch.setattr(f"jobs.pack.run.{name}", lambda *_: b"")


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step has several units: windows, groups of files and buckets of packs are tiny."""
    monkeypatch.setattr(plan, "WINDOW_DOCUMENTS", 16)
    monkeypatch.setattr(plan, "UNIT_DOCUMENTS", 10)
    monkeypatch.setattr(plan, "UNIT_BYTES", 1)
    monkeypatch.setattr(write, "FILE_PACKS", 4)
    monkeypatch.setattr(write, "BUCKET_TOKENS", 1024)


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units in this process, so that a test can end it anywhere, and many runs are quick."""

    def do_units(
        output: Output,
        units: Sequence[Unit[Any]],
        work: Callable[[Unit[Any]], Receipt],
        report: Reporter,
        _resources: Resources,
        *,
        noun: str,
    ) -> list[Receipt]:
        found = output.receipts()
        for n, unit in enumerate(units):
            report.progress(n, len(units), noun)
            found[unit.name] = found.get(unit.name) or output.finish_unit(work(unit))
        return [found[unit.name] for unit in units]

    monkeypatch.setattr(steps, "run_units", do_units)


def packed(output: Path) -> list[dict[str, Any]]:
    files = sorted(output.glob("data/packs-*.parquet"))
    return [row for file in files for row in read_table(str(file)).to_pylist()]


def catalogue(output: Path) -> list[dict[str, Any]]:
    files = sorted(output.glob("data/catalogue-*.parquet"))
    return [row for file in files for row in read_table(str(file)).to_pylist()]


def contents(output: Path) -> dict[int, list[tuple[int, int]]]:
    """(document, repeat) of every pack by its number."""
    return {p["pack"]: [(d["sample_id"], d["repeat"]) for d in p["documents"]] for p in packed(output)}


def reasons(output: Path) -> dict[int, str | None]:
    return {row["sample_id"]: row["reason"] for row in catalogue(output)}


def test_every_document_arrives_once_with_its_payload(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    manifest = pack([write_tokens("d0", IDS)], tmp_path / "out")
    packs = packed(tmp_path / "out")
    rows = [row for p in packs for row in p["documents"]]
    assert sorted(r["sample_id"] for r in rows) == sorted(i for ids in IDS for i in ids)
    assert [p["pack"] for p in packs] == list(range(len(packs)))
    assert manifest.counts == Counts(total=65, kept=65)
    assert manifest.metadata["packs"] == len(packs) >= manifest.metadata["packs_lower_bound"]
    assert manifest.metadata["steps"]["packs_per_step"] == 2
    for row in rows:
        expected, tokens = document(row["sample_id"], "t2i")
        assert row["tokens"] == tokens
        for got, want in zip(from_row(row).segments, expected.segments, strict=True):
            assert got.ids.tolist() == want.ids.tolist()
            assert got.targets.tolist() == want.targets.tolist()
            assert got.inputs.tolist() == want.inputs.tolist()
    assert all(p["tokens"] == sum(d["tokens"] for d in p["documents"]) <= 128 for p in packs)


def test_a_token_file_without_rows_changes_nothing(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    pack([write_tokens("d0", IDS)], tmp_path / "a")
    pack([write_tokens("d1", [[], *IDS, []])], tmp_path / "b")
    assert packed(tmp_path / "b") == packed(tmp_path / "a")


def test_training_reads_what_was_packed(write_tokens: WriteTokens, pack: Pack, tmp_path: Path) -> None:
    pack([write_tokens("d0", IDS)], tmp_path / "out")
    reader = PackReader([str(tmp_path / "out")])
    assert [[d.sample_id for d in reader[n]] for n in range(len(reader))] == [
        [i for i, _ in documents] for documents in contents(tmp_path / "out").values()
    ]


def test_files_say_what_their_rows_use(write_tokens: WriteTokens, pack: Pack, tmp_path: Path) -> None:
    folders = [write_tokens("d0", IDS), write_tokens("all", [list(range(200, 300))], "text", None)]
    pack(folders, tmp_path / "out", seed=3, mixture={"t2i": 0.5, "text": 0.5})
    schema = pq.read_schema(tmp_path / "out/data/packs-00000.parquet")
    assert read_schedules(schema) == {SCHEDULE.name: SCHEDULE}
    assert read_provenance(schema)["tokenizer"] == "t"
    assert read_provenance(schema)["seed"] == 3


def test_the_order_of_folders_changes_no_byte_and_the_seed_does(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", IDS[:1]), write_tokens("d1", IDS[1:])]
    one = pack(folders, tmp_path / "a")
    assert pack(folders[::-1], tmp_path / "b").hash == one.hash
    assert pack(folders, tmp_path / "c", seed=1).hash != one.hash


@pytest.mark.usefixtures("one_by_one")
def test_how_documents_are_cut_into_files_and_units_changes_no_pack(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "WINDOW_DOCUMENTS", 16)
    whole = pack([write_tokens("d0", IDS)], tmp_path / "a")
    assert whole.metadata["windows"] == 5
    ids = [i for file in IDS for i in file][::-1]
    cut = write_tokens("d1", [ids[n : n + 7] for n in range(0, len(ids), 7)])
    monkeypatch.setattr(plan, "UNIT_DOCUMENTS", 10)
    monkeypatch.setattr(plan, "UNIT_BYTES", 1)
    pack([cut], tmp_path / "b")
    assert contents(tmp_path / "b") == contents(tmp_path / "a")
    assert [p.pop("pack") for p in packed(tmp_path / "b")] == list(range(whole.metadata["packs"]))


@pytest.mark.usefixtures("ray_session", "small_units")
def test_workers_and_a_single_process_give_the_same_bytes(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # Workers read the constants of their own process: those that they use must be as they are there.
    write.FILE_PACKS = 256
    folders = [write_tokens("d0", IDS)]
    by_ray = pack(folders, tmp_path / "ray")
    request.getfixturevalue("one_by_one")
    assert pack(folders, tmp_path / "alone").hash == by_ray.hash
    assert by_ray.metadata["windows"] == 5


class _EndAt(SilentReporter):
    """Ends the process, as it were, when a unit of a step is about to begin."""

    def __init__(self, step: str, number: int) -> None:
        self._at = (f"units of {step}", number)

    def progress(self, done: int, total: int, unit: str) -> None:
        if (unit, done) == self._at:
            raise KilledError


@pytest.mark.usefixtures("one_by_one", "small_units")
def test_a_run_that_ends_anywhere_goes_on_to_the_same_bytes(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", IDS)]
    whole = pack(folders, tmp_path / "a")
    assert len([f for f in whole.files if "packs-" in f.path]) == 4
    for step in ("scatter", "measure", "assign", "catalogue", "split", "packs"):
        for number in (0, 1):
            with pytest.raises(KilledError):
                pack(folders, tmp_path / "b", report=_EndAt(step, number))
            # What a publish left behind must not matter.
            (tmp_path / "b/work/.publishing-0").write_bytes(b"half of a fi")
    found = pack(folders, tmp_path / "b")
    assert found.hash == whole.hash
    assert found.metadata == whole.metadata
    assert not (tmp_path / "b/work").exists()


@pytest.mark.usefixtures("one_by_one", "small_units")
def test_a_unit_whose_receipt_is_missing_is_done_again(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", IDS)]
    whole = pack(folders, tmp_path / "a")
    with pytest.raises(KilledError):
        pack(folders, tmp_path / "b", report=_EndAt("packs", 1))
    done = sorted((tmp_path / "b/units").glob("*.json"))
    for path in done[::3]:
        path.unlink()
        for file in (tmp_path / "b").glob(f"*/{path.stem}*"):
            if file.suffix != ".json":
                file.write_bytes(b"half of a fi")
    assert pack(folders, tmp_path / "b").hash == whole.hash


@pytest.mark.parametrize("step", ["scatter", "measure", "assign", "catalogue", "split", "packs"])
def test_of_two_runs_the_later_one_takes_what_the_other_finished(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, step: str
) -> None:
    folders = [write_tokens("d0", IDS)]
    whole = pack(folders, tmp_path / "a")

    class PackedMeanwhile(SilentReporter):
        """Another run packs everything when a step of this one is about to begin."""

        def progress(self, done: int, total: int, unit: str) -> None:
            if unit == f"units of {step}" and not (tmp_path / "b/manifest.parquet").exists():
                pack(folders, tmp_path / "b")

    assert pack(folders, tmp_path / "b", report=PackedMeanwhile()) == whole
    assert not (tmp_path / "b/work").exists()


def test_packs_on_s3_are_those_of_a_folder(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, s3_root: str
) -> None:
    folders = [write_tokens("d0", IDS)]
    local = pack(folders, tmp_path / "out")
    there = f"{s3_root}/packs"
    assert pack(folders, there).hash == local.hash
    assert not storage.list_files(f"{there}/work")
    assert len(PackReader([there])) == local.metadata["packs"]


def test_what_is_between_steps_is_gone_and_a_finished_folder_is_only_committed_again(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", IDS)]
    manifest = pack(folders, tmp_path / "out")
    assert not (tmp_path / "out/work").exists()
    assert {f.path.split("/")[0] for f in manifest.files} == {"data"}
    (tmp_path / "out/manifest.parquet").unlink()
    assert pack(folders, tmp_path / "out") == manifest


def test_a_document_in_two_drops_and_a_long_one_are_rejected_with_a_reason(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", [[1, 2, 3, 4]]), write_tokens("d1", [[3]])]
    by_length = sorted((1, 2, 3, 4), key=lambda i: document(i, "t2i")[1])
    manifest = pack(folders, tmp_path / "out", max_tokens=64, fill=1.0)
    rows = catalogue(tmp_path / "out")
    assert len(rows) == manifest.counts.total == 5
    assert len({row["source"] for row in rows}) == 5
    assert [r["source"] for r in rows] == sorted(r["source"] for r in rows)
    assert [r["source"] for r in rows if r["reason"] == "duplicate"] == [
        "tokens/t2i/d1/data/unit-0.parquet#0000000000000003"
    ]
    assert document(by_length[-1], "t2i")[1] <= 64
    assert all((r["status"] == "kept") == bool(r["packs"]) for r in rows)


def test_reasons_say_why_a_document_is_left_out(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    length = {i: document(i, "text")[1] for i in range(400)}
    short = [i for i, n in length.items() if n < 8]
    long = [i for i, n in length.items() if n > 34][:2]
    folder = write_tokens("all", [short, long], "text", None)
    pack([folder], tmp_path / "out", mixture={"text": 1.0}, max_tokens=64, fill=0.5)
    assert {i for i, reason in reasons(tmp_path / "out").items() if reason == "over_budget"} == set(long)
    pack([folder], tmp_path / "b", mixture={"text": 1.0}, max_tokens=64, fill=0.5, oversize="alone")
    assert set(reasons(tmp_path / "b").values()) == {None}
    alone = [[d["sample_id"] for d in p["documents"]] for p in packed(tmp_path / "b")]
    assert all([i] in alone for i in long)


def test_costs_are_the_transformers_and_the_budget_is_of_a_pack_full_of_mean_tokens(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    ids = {"t2i": list(range(60)), "text": list(range(1000, 1100))}
    folders = [write_tokens("d0", [some], family) for family, some in ids.items()]
    weights = {"t2i": 0.7, "text": 0.3}
    manifest = pack(folders, tmp_path / "out", mixture=weights, attention_cost=3.0, fill=0.9)
    rows = catalogue(tmp_path / "out")
    config = transformer_config(Model(preset="tiny"), load_text("builtin"), TokenizerConfig.preset("tiny"))
    a, b = flops_per_position(config), flops_per_pair(config)
    assert [r["cost"] for r in rows] == [a * r["tokens"] + 3.0 * b * r["pairs"] for r in rows]
    costs = {i: a * (n := document(i, f)[1]) + 3.0 * b * pairs_of(n) for f, some in ids.items() for i in some}
    means = {f: sum(costs[i] for i in some) / sum(document(i, f)[1] for i in some) for f, some in ids.items()}
    budget = 0.9 * 128 * sum(weights[f] * means[f] for f in ids)
    assert manifest.metadata["budget_cost"] == pytest.approx(budget, rel=1e-12)
    for p in packed(tmp_path / "out"):
        assert p["cost"] == pytest.approx(sum(costs[d["sample_id"]] for d in p["documents"]), rel=1e-12)
        assert p["cost"] <= budget


@pytest.mark.parametrize("packer", ["balanced", "fixed_budget", "fixed_length"])
def test_every_packer_loses_nothing(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, packer: str
) -> None:
    manifest = pack([write_tokens("d0", IDS)], tmp_path / "out", packer=packer)
    held = Counter(i for documents in contents(tmp_path / "out").values() for i, _ in documents)
    assert held == Counter(i for ids in IDS for i in ids)
    budget = manifest.metadata["budget_cost"]
    assert all(p["tokens"] <= 128 for p in packed(tmp_path / "out"))
    assert packer == "fixed_length" or all(p["cost"] <= budget * (1 + 1e-9) for p in packed(tmp_path / "out"))


@pytest.mark.parametrize(
    "packing",
    [{"oversize": "alone"}, {"oversize": "alone", "packer": "fixed_budget"}, {"packer": "fixed_length"}],
)
def test_without_a_document_within_the_budget_packers_are_not_compared(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, packing: dict[str, Any]
) -> None:
    equal = [i for i in range(2000) if document(i, "t2i")[1] == 40][:20]
    manifest = pack([write_tokens("d0", [equal])], tmp_path / "out", max_tokens=64, fill=0.5, **packing)
    assert manifest.counts == Counts(total=20, kept=20)
    assert manifest.metadata["packs"] == 20
    assert "packers" not in manifest.metadata
    assert Output(str(tmp_path / "out")).pictures().keys() == {"fill"}
    within = pack([write_tokens("d1", [equal])], tmp_path / "within", max_tokens=64, fill=1.0, **packing)
    assert within.metadata["packers"].keys() == PACKERS.keys()
    assert Output(str(tmp_path / "within")).pictures().keys() == {"fill", "packers"}


def shuffle_key(sample_id: int, salt: int) -> int:
    """What documents are shuffled by, by arithmetic of Python's own integers."""
    z = sample_id ^ salt
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def in_cut_order(ids: Sequence[int], seed: int) -> list[int]:
    """The order in which documents of a family are used."""
    return sorted(ids, key=lambda i: shuffle_key(i, make_salt(seed, "mixture")))


@pytest.mark.usefixtures("one_by_one", "small_units")
@pytest.mark.parametrize("packer", ["balanced", "fixed_budget", "fixed_length"])
def test_the_catalogue_names_the_packs_of_every_window(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, packer: str
) -> None:
    folders = [write_tokens("d0", IDS), write_tokens("all", [list(range(200, 260))], "text", None)]
    mixture = {"t2i": 0.5, "text": 0.5}
    manifest = pack(folders, tmp_path / "out", mixture=mixture, repeats={"t2i": 2, "text": 3}, packer=packer)
    assert manifest.metadata["windows"] > 2
    held: dict[int, list[int]] = {row["sample_id"]: [] for row in catalogue(tmp_path / "out")}
    for number, documents in contents(tmp_path / "out").items():
        for sample_id, _ in documents:
            held[sample_id].append(number)
    assert {row["sample_id"]: row["packs"] for row in catalogue(tmp_path / "out")} == held
    assert max(map(len, held.values())) > 1


@pytest.mark.parametrize("packer", ["balanced", "fixed_budget"])
def test_documents_of_a_pack_are_in_the_order_of_the_shuffle(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, packer: str
) -> None:
    pack([write_tokens("d0", IDS)], tmp_path / "out", seed=6, packer=packer)
    salt = make_salt(6, "documents")
    for documents in contents(tmp_path / "out").values():
        ids = [sample_id for sample_id, _ in documents]
        assert ids == sorted(ids, key=lambda i: shuffle_key(i, salt))


def test_neighbours_are_not_alike_though_the_packer_sorts(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    ids = list(range(1000, 1600))
    pack([write_tokens("all", [ids], "text", None)], tmp_path / "out", mixture={"text": 1.0}, max_tokens=64)
    longest = [max(d["tokens"] for d in p["documents"]) for p in packed(tmp_path / "out")]
    assert len(longest) > 150
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.2
    tokens = np.array([document(i, "text")[1] for i in ids])
    columns = Columns(np.array(ids, np.uint64), np.zeros_like(tokens), tokens, tokens * 1.0)
    number = pack_window(columns, Limits(64, 60.0), "balanced")
    sorted_longest = np.zeros(number.max() + 1)
    np.maximum.at(sorted_longest, number, tokens)
    assert abs(np.corrcoef(sorted_longest, np.arange(len(sorted_longest)))[0, 1]) > 0.8


def test_documents_over_the_token_cap_are_rejected_and_do_not_count_for_the_budget(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    whole = pack([write_tokens("d0", IDS)], tmp_path / "a")
    long = list(LONG[:5])
    manifest = pack([write_tokens("d1", [*IDS, long])], tmp_path / "b")
    assert manifest.counts == Counts(total=70, kept=65, rejected={"over_token_cap": 5})
    assert manifest.metadata["budget_cost"] == whole.metadata["budget_cost"]
    assert contents(tmp_path / "b") == contents(tmp_path / "a")


@pytest.mark.parametrize("keep", [2, 0])
def test_a_token_file_with_other_rows_than_its_manifest_says_is_refused(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, keep: int
) -> None:
    folder = write_tokens("d0", IDS)
    file = tmp_path / "tokens/t2i/d0/data/unit-0.parquet"
    pq.write_table(pq.read_table(file)[:keep], file)
    with pytest.raises(UserError, match=f"{file}: {keep} rows, the manifest says 3. Extract again"):
        pack([folder], tmp_path / "out")


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize(
    ("mixture", "repeats"),
    [
        ({"t2i": 0.7, "text": 0.3}, {}),
        ({"t2i": 0.2, "text": 0.8}, {}),
        ({"t2i": 0.9, "text": 0.1}, {"t2i": 3}),
        ({"t2i": 0.5, "text": 0.5}, {"t2i": 2, "text": 4}),
    ],
)
@pytest.mark.parametrize("window", [32, 1 << 18])
def test_families_are_cut_as_sorting_everything_in_memory_would(
    write_tokens: WriteTokens,
    pack: Pack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mixture: dict[str, float],
    repeats: dict[str, int],
    window: int,
) -> None:
    monkeypatch.setattr(plan, "WINDOW_DOCUMENTS", window)
    ids = {"t2i": list(range(150)), "text": list(range(1000, 1300))}
    folders = [write_tokens("d0", [i[:90], i[90:]], family) for family, i in ids.items()]
    pack(folders, tmp_path / "out", seed=4, mixture=mixture, repeats=repeats)
    tokens = {i: document(i, family)[1] for family, some in ids.items() for i in some}
    total = {family: sum(tokens[i] for i in some) for family, some in ids.items()}
    room = min(total[f] * repeats.get(f, 1) / w for f, w in mixture.items())
    expected: Counter[int] = Counter()
    for family, weight in mixture.items():
        used = 0
        for i in in_cut_order(ids[family], 4) * repeats.get(family, 1):
            used += tokens[i]
            if used > weight * room + 0.5:
                break
            expected[i] += 1
    held = [place for documents in contents(tmp_path / "out").values() for place in documents]
    assert Counter(i for i, _ in held) == expected
    assert sorted(held) == sorted((i, repeat) for i, n in expected.items() for repeat in range(n))
    assert {r["sample_id"]: len(r["packs"]) for r in catalogue(tmp_path / "out") if r["packs"]} == expected


@pytest.mark.usefixtures("one_by_one", "small_units")
def test_what_is_forgotten_is_left_out_and_no_other_pack_changes(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", IDS)]
    pack(folders, tmp_path / "before")
    before = {p["pack"]: p for p in packed(tmp_path / "before")}
    emptied, touched, *_ = before
    unwanted = [d["sample_id"] for d in before[emptied]["documents"]]
    unwanted.append(before[touched]["documents"][1]["sample_id"])
    manifest = pack(folders, tmp_path / "after", forgotten=(*unwanted, 12345))
    after = {p["pack"]: p for p in packed(tmp_path / "after")}
    assert after.keys() == before.keys() - {emptied}
    assert {n: p for n, p in after.items() if n != touched} == {
        n: p for n, p in before.items() if n not in (emptied, touched)
    }
    del before[touched]["documents"][1]
    assert after[touched]["documents"] == before[touched]["documents"]
    assert after[touched]["tokens"] == sum(d["tokens"] for d in before[touched]["documents"])
    assert manifest.counts == Counts(total=65, kept=65 - len(unwanted), rejected={"forgotten": len(unwanted)})
    assert len(PackReader([str(tmp_path / "after")])) == len(after) == manifest.metadata["packs"]


def test_a_family_without_documents_is_one_clear_line(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folder = write_tokens("d0", IDS)
    with pytest.raises(UserError, match="no documents of video"):
        pack([folder], tmp_path / "out", mixture={"t2i": 1.0, "video": 1.0})
    long = write_tokens("d1", [[i for i in range(100) if document(i, "t2i")[1] > 42]])
    with pytest.raises(UserError, match="no document of t2i fits a pack"):
        pack([long], tmp_path / "out2", max_tokens=64, fill=0.1)


def test_tokens_of_two_tokenizers_or_of_another_format_are_refused(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", [[1]]), write_tokens("d1", [[2]], tokenizer="another")]
    with pytest.raises(UserError, match="different tokenizers"):
        pack(folders, tmp_path / "out")
    old = tmp_path / "tokens/t2i/d0/data/unit-0.parquet"
    table = pq.read_table(old)
    pq.write_table(table.replace_schema_metadata({}), old)
    with pytest.raises(UserError, match="format 1"):
        pack(folders[:1], tmp_path / "out2")


@pytest.mark.usefixtures("one_by_one", "small_units")
def test_a_damaged_file_between_steps_is_one_clear_line(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path
) -> None:
    folders = [write_tokens("d0", IDS)]
    with pytest.raises(KilledError):
        pack(folders, tmp_path / "out", report=_EndAt("assign", 2))
    for file in (tmp_path / "out/work").glob("measure-*"):
        file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(UserError, match="intermediate file is damaged"):
        pack(folders, tmp_path / "out")


@pytest.mark.parametrize("cut", [0.5, 0.98])
def test_a_damaged_token_file_is_one_clear_line(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, cut: float
) -> None:
    folders = [write_tokens("d0", IDS)]
    file = tmp_path / "tokens/t2i/d0/data/unit-0.parquet"
    data = file.read_bytes()
    file.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(UserError, match=f"{file}: a file of tokens is damaged"):
        pack(folders, tmp_path / "out")


@pytest.mark.parametrize(
    "tokens",
    [None, pa.array([2**40] * 3), pa.array(["x"] * 3), pa.array([None, 5, 5], pa.int32())],
    ids=["no column", "beyond its type", "no numbers", "no value"],
)
def test_a_token_file_with_other_columns_is_one_clear_line(
    write_tokens: WriteTokens, pack: Pack, tmp_path: Path, tokens: pa.Array | None
) -> None:
    folders = [write_tokens("d0", [[1, 2, 3]])]
    file = tmp_path / "tokens/t2i/d0/data/unit-0.parquet"
    table = pq.read_table(file)
    place = table.schema.get_field_index("tokens")
    other = table.remove_column(place) if tokens is None else table.set_column(place, "tokens", tokens)
    pq.write_table(other.replace_schema_metadata(table.schema.metadata), file)
    with pytest.raises(UserError, match=f"{file}: a file of tokens is damaged"):
        pack(folders, tmp_path / "out")
