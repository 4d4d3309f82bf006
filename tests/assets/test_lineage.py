"""Lineage agrees with what the files hold, in both directions, and says what it cannot find."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import traced_home
from hypothesis import given
from hypothesis import strategies as st

from assets.forgotten import Forgotten, add_forgotten
from assets.lineage.forget import remove_packs, superseded_packs
from assets.lineage.home import Home
from assets.lineage.match import Among, Condition, Member, Within, matching
from assets.lineage.trace import CheckpointTrace, DocumentTrace, PackTrace, RecordTrace, trace
from assets.project import Project
from infra.document import format_id
from infra.errors import UserError
from infra.storage import list_files, publish_bytes, remove

pytestmark = pytest.mark.timeout(600)

Built = tuple[Project, dg.DagsterInstance, Home]

# Reading rows ------------------------------------------------------------------------------------

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "sample_id": st.integers(0, 2**64 - 1),
            "source": st.sampled_from(["a#x", "a#y", "b#x", "c", "c#x#y"]),
            "parents": st.none() | st.lists(st.sampled_from("pqr"), max_size=3),
        }
    ),
    max_size=20,
)
SCHEMA = pa.schema(
    [("sample_id", pa.uint64()), ("source", pa.string()), ("parents", pa.list_(pa.string()))],
)


@given(ROWS, st.sets(st.sampled_from(["a#x", "c", "z"])), st.sets(st.sampled_from("pqz")), st.data())
def test_rows_are_those_that_pass(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, object]],
    sources: set[str],
    parents: set[str],
    data: st.DataObject,
) -> None:
    ends = data.draw(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=3))
    ranges = [(min(pair), max(pair)) for pair in ends]
    path = tmp_path_factory.getbasetemp() / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=3)
    conditions: dict[str, Condition] = {
        "source": Among(sources),
        "parents": Among(parents),
        "sample_id": Within(ranges),
        "absent": Among(["x"]),
    }
    wanted = [
        row
        for row in rows
        if row["source"] in sources
        or parents & set(row["parents"] or ())  # type: ignore[call-overload]
        or any(low <= row["sample_id"] <= high for low, high in ranges)  # type: ignore[operator]
    ]
    assert list(matching(str(path), conditions)) == wanted
    named = [row for row in rows if str(row["source"]).split("#")[-1] == "x"]
    assert list(matching(str(path), {"source": Member(["x"])})) == named


# The whole way -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    home = traced_home.build(tmp_path_factory)
    with traced_home.opened(home) as (project, instance):
        yield project, instance, traced_home.look(project, instance)


def record_trace(built: Built, text: str) -> RecordTrace:
    project, _, home = built
    found = trace(home, project.recipe, text)
    assert isinstance(found, RecordTrace)
    return found


def packs_in(folder: Path) -> dict[str, set[tuple[str, int]]]:
    """For each sample the (stage, pack) that hold it, from the packs files alone."""
    found: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for path in folder.rglob("data/packs-*.parquet"):
        for row in pq.read_table(path).to_pylist():
            for document in row["documents"]:
                found[format_id(document["sample_id"])].add((path.parts[-4], row["pack"]))
    return found


def traced_packs(document: DocumentTrace) -> set[tuple[str, int]]:
    return {
        (packed.asset.partition("/")[2], pack.number) for packed in document.packed for pack in packed.packs
    }


def test_a_file_is_followed_into_every_family(built: Built) -> None:
    path = str(traced_home.picture(built[0], 3))
    found = record_trace(built, path)
    assert found.records == ["#".join(path.rsplit("/", 1))]
    families = {document.fate.place.asset.key for document in found.documents}
    assert families == {"t2i/captioned", "understanding/written", "edit/mixed", "subject/confirmed"}
    stages = [fate.place.asset.key for fate in found.fates if fate.row["source"] == found.records[0]]
    assert stages[:5] == [f"t2i/{name}" for name in ("scored", "filtered", "topics", "balanced", "captioned")]
    for document in found.documents:
        (row,) = document.tokens
        assert (row.status, row.level) == ("kept", "small")
        assert row.member == f"{document.fate.sample_id}.json"


def test_packs_are_those_whose_files_hold_the_document(built: Built) -> None:
    """Over all records; those in no pack show none, which is the control."""
    project, _, home = built
    held = packs_in(Path(project.home) / "packs")
    records = [file for file in traced_home.pictures(project) if file.name != traced_home.BAD]
    documents = [d for file in records for d in record_trace(built, str(file)).documents]
    assert len({traced_packs(d) == set() for d in documents}) == 2
    for document in documents:
        assert traced_packs(document) == held[document.fate.sample_id]
        for packed in document.packed:
            for pack in packed.packs:
                row = pq.read_table(f"{packed.folder}/{pack.file}").to_pylist()[pack.row]
                assert row["pack"] == pack.number
        reasons = {packed.reason for packed in document.packed if not packed.packs}
        assert None not in reasons
    assert home.places


def test_a_pack_goes_back_to_its_sources(built: Built) -> None:
    project, _, home = built
    for stage in ("first", "second"):
        folder = next(Path(project.home, "packs", stage).iterdir())
        (row, *_) = pq.read_table(folder / "data/packs-00000.parquet").to_pylist()
        found = trace(home, project.recipe, f"packs/{stage}#{row['pack']}")
        assert isinstance(found, PackTrace)
        ids = [format_id(document["sample_id"]) for document in row["documents"]]
        assert [document.sample_id for document in found.documents] == ids
        assert found.tokens == row["tokens"] == sum(document.tokens for document in found.documents)
        for document in found.documents:
            back = record_trace(built, document.source)
            assert document.sample_id in {one.fate.sample_id for one in back.documents}


def test_a_checkpoint_has_seen_what_it_and_those_before_were_trained_on(built: Built) -> None:
    project, _, home = built
    held = packs_in(Path(project.home) / "packs")
    only_first = next(id_ for id_, packs in held.items() if {stage for stage, _ in packs} == {"first"})
    document = next(d for d in record_trace(built, only_first).documents if d.fate.sample_id == only_first)
    assert [(c.asset, c.link) for c in document.checkpoints] == [
        ("training/first", "packs"),
        ("training/second", "start"),
    ]
    assert [key for key, _ in document.checkpoints[0].evaluations] == ["evaluation/first/fixed_prompts"]
    second = trace(home, project.recipe, "training/second")
    assert isinstance(second, CheckpointTrace)
    assert second.checkpoint.before == ("training/first",)
    assert sum(second.families.values()) == pytest.approx(1)
    first = trace(home, project.recipe, "training/first")
    assert isinstance(first, CheckpointTrace)
    assert [one.asset for one in first.after] == ["training/second"]


def test_every_document_is_found_by_its_id_and_by_its_beginning(built: Built) -> None:
    found = record_trace(built, str(traced_home.picture(built[0], 3)))
    for document in found.documents:
        id_ = document.fate.sample_id
        one, other = record_trace(built, id_), record_trace(built, id_[:10].upper())
        assert one.records == other.records
        assert set(found.records) <= set(one.records)
        assert id_ in {d.fate.sample_id for d in one.documents}


def test_a_pair_comes_from_both_its_pictures(built: Built) -> None:
    found = record_trace(built, str(traced_home.picture(built[0], 3)))
    pair = next(d for d in found.documents if d.fate.place.asset.key == "subject/confirmed")
    sides = {pair.fate.row["reference"], pair.fate.row["target"]}
    assert set(record_trace(built, pair.fate.sample_id).records) == sides


def test_equal_files_are_one_sample_of_two_records(built: Built) -> None:
    found = record_trace(built, "copy.png")
    assert {record.rpartition("#")[2] for record in found.records} == {"copy.png", "p00.png"}
    twice = [d for d in found.documents if d.fate.place.asset.key == "t2i/captioned"]
    assert len({d.fate.sample_id for d in twice}) == 1
    assert len({d.fate.place.partition for d in twice}) == 2
    assert [len(d.tokens) for d in twice] == [1, 1]


def test_what_was_rejected_says_why_and_has_no_documents(built: Built) -> None:
    found = record_trace(built, traced_home.BAD)
    assert not found.documents
    fates = [(f.place.asset.key, f.row["status"], f.row["reason"]) for f in found.fates]
    assert fates == [(f"{name}/scored", "rejected", "not_an_image") for name in ("t2i", "subject")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0123456789abcdef", "no such sample or record. Looked at the catalogues of t2i/scored, "),
        ("12345", "no such sample or record"),
        ("nothing.png", "a record is <uri>#<member>"),
        ("", "an id is empty"),
        ("packs/first", "which of its packs?. Add its number: packs/first#0"),
        ("packs/first#99999", "has no pack 99999"),
        ("packs/third#0", "is no stage of the recipe. Finished are: packs/first, packs/second"),
        ("training/third", "Finished are: training/first, training/second"),
    ],
)
def test_what_is_not_there_is_one_line(built: Built, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        trace(built[2], built[0].recipe, text)
    assert message in str(caught.value)


def test_an_ambiguous_name_lists_what_it_may_mean(built: Built, tmp_path: Path) -> None:
    project, _, home = built
    rows = [{"sample_id": id_, "source": f"{id_}#same.png", "status": "kept"} for id_ in (0xABCDEF << 40, 7)]
    rows.append({"sample_id": (0xABCDEF << 40) + 1, "source": "x", "status": "kept"})
    place = next(place for place in home.places if place.asset.key == "t2i/scored")
    (tmp_path / "data").mkdir()
    schema = pa.schema([*SCHEMA, ("status", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "data/catalogue.parquet")
    elsewhere = replace(place, folder=str(tmp_path))
    elsewhere.__dict__["manifest"] = place.manifest
    for text, message in (("abcdef", "2 samples begin so"), ("same.png", "2 records have a member")):
        with pytest.raises(UserError, match=message):
            trace(Home([elsewhere]), project.recipe, text)


def test_a_home_on_s3_tells_the_same(built: Built, s3_root: str) -> None:
    project, instance, _ = built
    for area in ("raw", "curated", "tokens", "packs", "checkpoints", "evals"):
        for file in list_files(f"{project.home}/{area}"):
            path = file.uri.removeprefix(project.home)
            publish_bytes(f"{s3_root}/home{path}", Path(file.uri).read_bytes())
    there = replace(project, home=f"{s3_root}/home")
    remote = (there, instance, traced_home.look(there, instance))
    text = str(traced_home.picture(project, 3))
    here, away = record_trace(built, text), record_trace(remote, text)
    assert [f.row for f in here.fates] == [f.row for f in away.fates]
    assert [traced_packs(d) for d in here.documents] == [traced_packs(d) for d in away.documents]
    assert all(d.fate.place.folder.startswith("s3://") for d in away.documents)


def test_packs_that_hold_what_is_forgotten_are_found_and_removed_on_s3(built: Built, s3_root: str) -> None:
    project, _, home = built
    held = packs_in(Path(project.home) / "packs")
    id_ = next(id_ for id_, packs in held.items() if {stage for stage, _ in packs} == {"second"})
    for file in list_files(f"{project.home}/packs"):
        publish_bytes(f"{s3_root}{file.uri.removeprefix(project.home)}", Path(file.uri).read_bytes())
    add_forgotten(s3_root, [Forgotten(sample_id=id_, family="t2i", records=("x",))])
    there = Project(project.recipe, s3_root)
    assert there.recipe.forgotten == [id_]
    places = {place.asset.key: place for place in home.made("packing")}
    folders = {key: f"{s3_root}{place.folder.removeprefix(project.home)}" for key, place in places.items()}
    assert superseded_packs(there, []) == [folders["packs/second"]]
    assert superseded_packs(there, [replace(places["packs/second"], folder=folders["packs/second"])]) == []
    remove(f"{folders['packs/first']}/manifest.parquet")  # never finished, or half removed
    assert superseded_packs(there, []) == [folders["packs/first"], folders["packs/second"]]
    for folder in folders.values():
        remove_packs(folder)
    assert list_files(f"{s3_root}/packs") == []
