"""All stages over planted edits: what becomes of each, and that nothing else matters."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from curate.edit.conftest import ANY_SHARE_OF_BAD, DRAWN, run_stages
from curate.edit.planted import (
    WAYS,
    Planted,
    looking_judge,
    plant,
    precision_and_recall,
    write_uniworld,
)
from vlm.server import Answer, Message, Seen, Status, VlmServer

from infra.document import ImageSegment, TextSegment
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.curate.edit.documents import read_again
from jobs.curate.edit.records import score_row
from jobs.curate.parts import Part
from jobs.curate.stage import read_catalogue
from jobs.curated import iter_documents
from jobs.recipe.curation.edit import EditCuration, EditFilters, EditLimits
from jobs.recipe.sources import UniWorldSource
from jobs.sources.discover import list_shards
from jobs.sources.read import read_edits

Folders = dict[str, str]
ReadAll = Callable[[str], dict[str, bytes]]

NUMBER = 240


def spoilt(index: int) -> str:
    """Every way to be bad, some twenty times each; two of three edits are good."""
    return WAYS[index % 5] if index % 3 == 0 else ""


def bad_share(first: int, bad: int, number: int = 50) -> list[Planted]:
    """Edits from a number on, the first of them of another scene or unchanged."""
    ways = ("nothing", "scene")
    return plant(range(first, first + number), lambda index: ways[index % 2] if index < first + bad else "")


class Corpus:
    """Planted edits, where they lie, and the outputs of all stages with a judge who looked."""

    def __init__(self, home: Path) -> None:
        subsets = {
            "all": plant(range(NUMBER), spoilt),
            "better": bad_share(1000, 2),
            "few": bad_share(2000, 10, 10),
            "worse": bad_share(3000, 3),
        }
        self.planted = [one for part in subsets.values() for one in part]
        self.source: UniWorldSource = write_uniworld(home / "source", subsets)
        with VlmServer(looking_judge(self.planted)) as server:
            model = server.settings()
            self.folders = run_stages(self.source, home, ANY_SHARE_OF_BAD, model, until="audited")
            self.seen = list(server.seen)

    def made(self, *names: str) -> Folders:
        """The outputs of some stages, for tests that go on from there."""
        return {name: self.folders[name] for name in names}

    def expected(self) -> dict[str, str]:
        """What should become of each planted edit, by its number."""
        return {str(number): one.fate for number, one in enumerate(self.planted)}

    def fates(self, folder: str) -> dict[str, str]:
        """What became of each planted edit, by its number: places are in the order of subsets and records."""
        rows = sorted(read_catalogue(folder).to_pylist(), key=lambda row: str(row["source"]))
        return {str(number): row["reason"] or "" for number, row in enumerate(rows)}


@pytest.fixture(scope="module")
def corpus(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The planted edits, curated once."""
    return Corpus(tmp_path_factory.mktemp("planted"))


def test_planted_edits_have_their_fates(corpus: Corpus) -> None:
    expected = corpus.expected()
    assert min(Counter(expected.values()).values()) >= 15
    table = precision_and_recall(expected, corpus.fates(corpus.folders["audited"]))
    assert table.keys() == {"", "unchanged", "bad_edit", "size_mismatch"}
    assert all(precision >= 0.95 and recall >= 0.95 for precision, recall in table.values())


def test_drawn_edits_are_judged_by_their_truth_without_asking_anybody(drawn: tuple[Path, Folders]) -> None:
    folders = drawn[1]
    rows = read_catalogue(folders["audited"]).to_pylist()
    wrong = {row["source"]: json.loads(row["truth"])["wrong"] for row in rows}
    fates = {None: "", "nothing": "unchanged"}
    expected = {source: fates.get(way, "bad_edit") for source, way in wrong.items()}
    assert min(Counter(expected.values()).values()) >= 10
    table = precision_and_recall(expected, {row["source"]: row["reason"] or "" for row in rows})
    assert all(precision >= 0.95 and recall >= 0.95 for precision, recall in table.values())
    assert read_manifest(folders["judged"]).metadata["task_bys"].keys() == {"source"}
    assert all(document.metadata["truth"] for document, _ in iter_documents(folders["mixed"]))


def test_the_judge_is_shown_the_pictures_before_and_after(corpus: Corpus) -> None:
    asked = Counter(one.fate for one in corpus.planted)
    assert len(corpus.seen) == asked[""] + asked["bad_edit"]
    assert all(len(seen.pictures) == 2 for seen in corpus.seen)
    assert read_manifest(corpus.folders["judged"]).metadata["vlm"]["answered"] == len(corpus.seen)


def test_every_edit_has_verdict_score_reason_and_task(corpus: Corpus) -> None:
    rows = read_catalogue(corpus.folders["judged"]).to_pylist()
    assert all(row["verdict"] and 0 <= row["score"] <= 10 and row["judge"] == "judge" for row in rows)
    tasks = {one.edit.instruction: one.edit.task for one in corpus.planted}
    right = [row["task"] == tasks[row["instruction"]] and row["task_by"] == "words" for row in rows]
    assert sum(right) >= 0.98 * len(rows)


def test_stages_conserve_records(drawn: tuple[Path, Folders]) -> None:
    folders = drawn[1]
    names = ("scored", "size_matched", "judged", "audited", "mixed")
    counts = [read_manifest(folders[name]).counts for name in names]
    assert counts[0].total == DRAWN.count
    assert [later.total for later in counts[1:]] == [earlier.kept for earlier in counts[:-1]]
    final = read_catalogue(folders["audited"])
    assert len(final) == DRAWN.count
    assert Counter(final["stage"].to_pylist())["audited"] == counts[3].total


def test_documents_have_the_original_bytes(corpus: Corpus) -> None:
    documents = list(iter_documents(corpus.folders["audited"]))
    by_hash = {hashlib.sha256(one.before + one.after).digest(): one for one in corpus.planted if not one.fate}
    assert len(documents) == read_manifest(corpus.folders["audited"]).counts.kept
    for document, media in documents:
        before, text, after = document.segments
        assert isinstance(before, ImageSegment)
        assert isinstance(text, TextSegment)
        assert isinstance(after, ImageSegment)
        one = by_hash[hashlib.sha256(media[before.member] + media[after.member]).digest()]
        assert (text.text, document.metadata["task"]) == (one.edit.instruction, one.edit.task)
        assert (before.loss, text.loss, after.loss) == (False, False, True)
        assert (before.width, before.height) == (after.width, after.height) == (64, 64)
        assert document.metadata["subset"].startswith("json/")


def test_the_mix_has_the_target_tasks(drawn: tuple[Path, Folders]) -> None:
    folders = drawn[1]
    rows = read_catalogue(folders["audited"]).to_pylist()
    kept = Counter(row["task"] for row in rows if row["status"] == "kept")
    mixed = Counter(document.metadata["task"] for document, _ in iter_documents(folders["mixed"]))
    figures = read_manifest(folders["mixed"]).metadata
    quotas = {task: found["quota"] for task, found in figures["tasks"].items()}
    assert mixed == {task: min(number, quotas[task]) for task, number in kept.items()}
    full = [task for task in kept if kept[task] >= quotas[task]]
    assert len({mixed[task] for task in full}) == 1  # the target is even
    assert sorted(set(kept) - set(full)) == figures["short_of_target"]
    rejected = read_manifest(folders["mixed"]).counts.rejected
    assert rejected == {"over_quota": kept.total() - mixed.total()}


def test_pictures_to_look_at(drawn: tuple[Path, Folders]) -> None:
    names = {
        name: {path.stem: path.stat().st_size for path in (Path(folder) / "pictures").glob("*.png")}
        for name, folder in drawn[1].items()
    }
    assert names["size_matched"].keys() == {"kept", "rejected-unchanged"}
    assert names["subsets"].keys() == {"subsets"}
    assert names["audited"].keys() == {"kept", "rejected-bad_edit", "funnel"}
    tasks = read_manifest(drawn[1]["mixed"]).metadata["tasks"]
    assert names["mixed"].keys() == {"tasks", *(f"task-{task}" for task in tasks)}
    assert max(size for sizes in names.values() for size in sizes.values()) <= 100_000


def test_a_subset_with_six_percent_of_bad_edits_goes_and_one_with_four_stays(
    corpus: Corpus, tmp_path: Path
) -> None:
    made = corpus.made("scored", "size_matched", "judged")
    folders = run_stages(corpus.source, tmp_path, EditCuration(), until="audited", made=made)
    figures = read_manifest(folders["subsets"]).metadata
    audit = {entry["subset"]: entry for entry in figures["audit"]}
    assert {name: (one["bad"], one["judged"], one["dropped"]) for name, one in audit.items()} == {
        "json/all": (64, 224, True),
        "json/better": (2, 50, False),
        "json/few": (10, 10, False),
        "json/worse": (3, 50, True),
    }
    assert audit["json/worse"]["low"] < 0.06 < audit["json/worse"]["high"]
    rows = read_catalogue(folders["audited"]).to_pylist()
    reasons = Counter((row["subset"], row["reason"]) for row in rows)
    assert (reasons["json/worse", "bad_subset"], reasons["json/worse", None]) == (47, 0)
    assert (reasons["json/better", "bad_subset"], reasons["json/better", None]) == (0, 48)
    assert {document.metadata["subset"] for document, _ in iter_documents(folders["audited"])} == {
        "json/better"
    }


def test_workers_and_kills_change_no_byte(
    drawn: tuple[Path, Folders], read_all: ReadAll, tmp_path: Path
) -> None:
    home, folders = drawn
    names = [name for name in folders if name != "raw"]
    whole = {name: read_all(folders[name]) for name in names}
    killed = tmp_path / "home"
    shutil.copytree(home, killed)
    for name in ("audited", "mixed"):
        shutil.rmtree(killed / name)
    for name in ("scored", "judged"):
        for path in ("manifest.parquet", "data/catalogue.parquet", "units/000001.json"):
            (killed / name / path).unlink()
    again = run_stages(DRAWN, killed, ANY_SHARE_OF_BAD, workers=1)
    assert {name: read_all(again[name]) for name in names} == whole


def test_an_edit_that_changed_meanwhile_is_one_line(tmp_path: Path) -> None:
    source = write_uniworld(tmp_path, {"edits": plant(range(3), lambda _: "")})
    (shard,) = list_shards("edit", source)
    rows = tuple(score_row(record, shard, EditLimits()) for record in read_edits(source, shard, 10**6))
    assert [row["source"] for row, _ in read_again(Part(shard, rows), source)] == [r["source"] for r in rows]
    (tmp_path / "data" / "edits" / "1_after.png").write_bytes(b"other")
    with pytest.raises(UserError, match="this edit changed after it was measured"):
        list(read_again(Part(shard, rows), source))


def test_a_judge_who_does_not_look_or_does_not_answer(ray_session: None, tmp_path: Path) -> None:
    """A control of the judge above, and answers that never come."""
    planted = plant(range(24), lambda index: "scene" if index < 8 else "")
    source = write_uniworld(tmp_path / "source", {"edits": planted})
    look = looking_judge(planted)
    odd: dict[str, Answer] = {
        planted[3].edit.instruction: Message(refusal="No."),
        planted[5].edit.instruction: "perhaps",
        planted[9].edit.instruction: Status(503),
    }

    def agree(seen: Seen) -> Answer:
        instruction = seen.text.partition("<<<\n")[2].partition("\n>>>")[0]
        if seen.answer == "EditTask":
            return look(seen)
        return odd.get(instruction) or {"reason": "It looks fine.", "score": 9, "follows": True}

    with VlmServer(agree) as server:
        model = server.settings(attempts=2)
        folders = run_stages(source, tmp_path / "home", judge_by=model, tasks_by=model, until="judged")
    manifest = read_manifest(folders["judged"])
    assert manifest.counts.rejected == {"vlm_malformed": 1, "vlm_refused": 1}
    rows = read_catalogue(folders["judged"]).to_pylist()
    assert [row["reason"] for row in rows if row["status"] == "errored"] == ["vlm_unreachable"]
    assert manifest.metadata["vlm"]["unreachable"] == 1
    assert manifest.metadata["task_bys"] == {"judge": manifest.counts.kept}
    kept = [row for row in rows if row["status"] == "kept"]
    assert len(kept) == 21
    assert all(row["follows"] for row in kept)
    tasks = {one.edit.instruction: one.edit.task for one in planted}
    assert all(row["task"] == tasks[row["instruction"]] for row in kept)


def test_changing_a_threshold_decides_anew_from_stored_scores(corpus: Corpus, tmp_path: Path) -> None:
    """The source is gone: sizes are matched from what is stored."""
    from infra.job import JobSpec
    from infra.reporter import SilentReporter
    from jobs.curate.edit import match
    from jobs.specs.edit import EditMatchSettings

    spec = JobSpec[EditMatchSettings](
        asset="edit/size_matched",
        fingerprint="g",
        inputs={"edit/scored": [corpus.folders["scored"]]},
        output=str(tmp_path / "out"),
        settings=EditMatchSettings(filters=EditFilters(min_side=65)),
    )
    assert match.run(spec, SilentReporter()).counts.rejected == {"small": len(corpus.planted)}


def test_a_drop_without_a_good_record(ray_session: None, tmp_path: Path) -> None:
    source = write_uniworld(tmp_path / "source", {"edits": plant(range(2), lambda _: "nothing")})
    folders = run_stages(source, tmp_path / "home")
    assert read_manifest(folders["mixed"]).counts.total == 0
    assert json.loads(json.dumps(read_manifest(folders["subsets"]).metadata))["audit"][0]["bad"] == 2
