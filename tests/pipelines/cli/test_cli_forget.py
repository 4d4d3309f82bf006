"""`nextscale forget`: no pack holds the documents, nothing else changes, a kill is no matter."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import traced_home
import yaml

from assets.forgotten import LIST, add_forgotten, read_forgotten
from assets.lineage.forget import plan_forgetting, to_forget
from infra.document import format_id
from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.recipe import Recipe
from pipelines.cli.main import main

pytestmark = pytest.mark.timeout(900)

Say = Callable[..., tuple[int, str, str]]
Forgot = tuple[Path, str, dict[str, Any]]
"""A home, the sample that it has forgotten, and what the command said."""


@pytest.fixture(scope="module")
def built(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return traced_home.build(tmp_path_factory)


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """`say(home, arguments)` -> exit code, stdout and stderr of the command in this process."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)

    def run(home: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nextscale", *arguments, "--home", str(home)])
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


def packs(home: Path) -> dict[tuple[str, int], list[Any]]:
    """Every stored pack by stage and number."""
    found = {}
    for path in sorted((home / "packs").rglob("data/packs-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            found[path.parts[-4], row["pack"]] = row["documents"]
    return found


def holders(home: Path, ids: set[str]) -> dict[str, set[int]]:
    """Packs that hold one of the samples, by stage."""
    found: dict[str, set[int]] = defaultdict(set)
    for (stage, number), documents in packs(home).items():
        if ids & {format_id(document["sample_id"]) for document in documents}:
            found[stage].add(number)
    return dict(found)


def sample_of(home: Path) -> str:
    """A text-to-image document that packs of both stages hold."""
    held: dict[str, set[str]] = defaultdict(set)
    for (stage, _), documents in packs(home).items():
        for document in documents:
            if document["family"] == "t2i":
                held[format_id(document["sample_id"])].add(stage)
    return min(id_ for id_, stages in held.items() if len(stages) == 2)


def tree(home: Path) -> dict[str, bytes]:
    """Everything that is published, without Dagster's history."""
    areas = (p for p in home.iterdir() if p.name not in ("dagster", "cache"))
    files = [path for area in areas for path in ([area] if area.is_file() else area.rglob("*"))]
    return {str(path.relative_to(home)): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture(scope="module")
def forgotten(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Forgot:
    """A home that has forgotten a picture, and what the command said."""
    home = traced_home.copied(built, tmp_path_factory.mktemp("forgotten"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        sample = sample_of(home)
        arguments = ["forget", sample, "--yes", "--json", "--home", str(home)]
        patch.setattr(sys, "argv", ["nextscale", *arguments])
        with redirect_stdout(io.StringIO()) as out:
            assert main() == 0
    return home, sample, json.loads(out.getvalue())


def test_no_pack_holds_what_was_made_of_it_and_no_other_pack_changes(built: Path, forgotten: Forgot) -> None:
    home, _, said = forgotten
    ids = {document["sample_id"] for document in said["documents"]}
    touched = holders(built, ids)
    assert {"t2i", "understanding"} <= {document["family"] for document in said["documents"]}
    assert set(touched) == {"first", "second"}  # the control: they were there
    assert holders(home, ids) == {}
    before, after = packs(built), packs(home)
    for place, documents in before.items():
        left = [d for d in documents if format_id(d["sample_id"]) not in ids]
        assert after.get(place, []) == left
    assert set(after) <= set(before)
    assert len(said["removed"]) == 2


def test_the_list_names_records_and_the_checkpoints_that_saw_them(forgotten: Forgot) -> None:
    home, sample, said = forgotten
    listed = read_forgotten(str(home))
    assert list(listed) == sorted(listed) == [document["sample_id"] for document in said["documents"]]
    records = set(listed[sample].records)
    assert all(Path(record.replace("#", "/")).is_file() for record in records)
    assert all(records & set(entry.records) for entry in listed.values())
    saw = {folder.rsplit("/", 2)[-2] for entry in listed.values() for folder in entry.checkpoints}
    assert saw == {"first", "second"}


def test_the_same_command_again_changes_nothing(forgotten: Forgot, say: Say) -> None:
    home, sample, _ = forgotten
    before = tree(home)
    code, out, _ = say(home, "forget", sample, "--yes")
    assert code == 0
    assert "what is forgotten: 0 (" in out
    assert tree(home) == before
    _, out, _ = say(home, "trace", sample)
    assert "  forgotten" in out
    assert "rejected forgotten" in out


def test_killed_after_the_list_was_written_the_same_command_ends_the_same(
    built: Path, forgotten: Forgot, tmp_path: Path, say: Say
) -> None:
    home = traced_home.copied(built, tmp_path)
    with traced_home.opened(home) as (project, instance):
        plan = plan_forgetting(traced_home.look(project, instance), project, [forgotten[1]])
    add_forgotten(str(home), to_forget(str(home), plan))
    old = next((home / "packs/first").iterdir())
    shutil.rmtree(old / "data")  # and while old packs were being removed
    (old / "manifest.parquet").unlink()
    assert say(home, "forget", forgotten[1], "--yes")[0] == 0
    wanted, found = tree(forgotten[0]), tree(home)
    wanted_list, found_list = wanted.pop(LIST), found.pop(LIST)
    assert found_list.replace(str(home).encode(), b"") == wanted_list.replace(str(forgotten[0]).encode(), b"")
    assert {k: v for k, v in found.items() if k.startswith("packs/") and "/units/" not in k} == {
        k: v for k, v in wanted.items() if k.startswith("packs/") and "/units/" not in k
    }


def test_looking_and_refusing_change_nothing(built: Path, say: Say) -> None:
    before, sample = tree(built), sample_of(built)
    code, out, _ = say(built, "forget", sample, "--dry-run")
    assert code == 0
    assert "also kept in: " in out
    assert "saw them: " in out
    for arguments, message in (
        ((sample,), "nobody is there to say yes"),
        ((sample, "0123456789abcdef", "--yes"), "0123456789abcdef: no such sample or record"),
        (("packs/first#0", "--yes"), "is neither a sample nor a record of a source"),
    ):
        code, _, err = say(built, "forget", *arguments)
        assert (code, err.count("\n")) == (1, 1)
        assert message in err
    assert tree(built) == before


def test_a_stage_without_the_document_keeps_its_content(built: Path, tmp_path: Path, say: Say) -> None:
    home = traced_home.copied(built, tmp_path)
    (before,) = (home / "packs/first").iterdir()
    kept = read_manifest(str(before)).hash
    with traced_home.opened(home) as (project, instance):
        texts = [p for p in traced_home.look(project, instance).places if p.asset.key == "text/mixed"]
    table = pq.read_table(f"{texts[0].folder}/data/catalogue.parquet").to_pylist()
    one = format_id(next(row["sample_id"] for row in table if row["status"] == "kept"))
    assert say(home, "forget", one, "--yes")[0] == 0
    with traced_home.opened(home) as (project, instance):
        places = {p.asset.key: p for p in traced_home.look(project, instance).places}
    assert places["packs/first"].folder != str(before)
    assert read_manifest(places["packs/first"].folder).hash == kept
    assert "training/first" in places  # still fresh: its input's content is the same
    assert holders(home, {one}) == {}


def test_a_recipe_can_forget_too(built: Path) -> None:
    with traced_home.opened(built) as (project, _):
        recipe = project.recipe
    assert Recipe.model_validate(recipe.model_dump() | {"forgotten": ["0" * 16]}).forgotten == ["0" * 16]
    with pytest.raises(ValueError, match="should match pattern"):
        Recipe.model_validate(recipe.model_dump() | {"forgotten": ["12"]})


def test_a_damaged_list_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / LIST).write_text('{"documents": [{"sample_id": "12"}]}')
    with pytest.raises(UserError, match="packs are not made without it"):
        read_forgotten(str(tmp_path))


def test_the_beginning_of_an_id_is_long_enough_or_unknown(forgotten: Forgot, say: Say) -> None:
    home, sample, _ = forgotten
    for text in (sample[0], sample[:5]):
        code, out, err = say(home, "forget", text, "--yes")
        assert (code, out) == (1, "")
        assert f"{text}: no such sample or record" in err
    assert say(home, "forget", sample[:6], "--yes")[0] == 0


def test_files_beside_the_folders_of_packs_are_left_alone(built: Path, tmp_path: Path, say: Say) -> None:
    home = traced_home.copied(built, tmp_path)
    beside = [home / "packs" / name for name in (".DS_Store", "first/.DS_Store", "first/0123.spec.json")]
    for path in beside:
        path.write_text("{}")
    assert say(home, "forget", sample_of(home), "--yes")[0] == 0
    assert all(path.is_file() for path in beside)
    assert holders(home, set(read_forgotten(str(home)))) == {}


def test_every_output_that_keeps_something_of_it_is_named(built: Path, say: Say) -> None:
    """Over all files: rows of tables that are of its records or samples, and members of tars."""
    _, out, _ = say(built, "forget", sample_of(built), "--dry-run", "--json")
    said = json.loads(out)
    ids = {document["sample_id"] for document in said["documents"]}
    records = {record for document in said["documents"] for record in document["records"]}
    found = {folder_of(path) for path in built.rglob("*.tar") if ids & ids_in_tar(path)}
    assert any("edit/synthetic" in folder for folder in found)  # made pictures that are no document yet
    for path in [*(built / "curated").rglob("*.parquet"), *(built / "tokens").rglob("*.parquet")]:
        if names_one(path, ids, records):
            found.add(folder_of(path))
    assert any("t2i/scored" in folder for folder in found)
    assert found
    assert found <= set(said["kept_in"])
    assert len(said["kept_in"]) < len(
        list(built.glob("curated/**/data")) + list(built.glob("tokens/**/data"))
    )


def folder_of(path: Path) -> str:
    return str(path.parents[1])


def ids_in_tar(path: Path) -> set[str]:
    with tarfile.open(path) as tar:
        return {name.partition(".")[0] for name in tar.getnames()}


def names_one(path: Path, ids: set[str], records: set[str]) -> bool:
    """Whether a table has a row of one of the samples or records."""
    names = pq.read_schema(path).names
    columns = [name for name in ("sample_id", "source", "reference", "target") if name in names]
    for row in pq.read_table(path, columns=columns).to_pylist():
        id_ = row.pop("sample_id", None)
        if (id_ is not None and format_id(id_) in ids) or records & set(row.values()):
            return True
    return False


def change(home: Path, **sections: Any) -> None:
    """Change sections of the home's recipe."""
    path = home / "recipes/current.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))


def stages(home: Path, **settings: Any) -> dict[str, Any]:
    """The stages of the home's recipe, with some settings of each changed."""
    recipe = yaml.safe_load((home / "recipes/current.yaml").read_text())
    return {name: stage | settings for name, stage in recipe["stages"].items()}


def test_checkpoints_of_other_recipes_are_named_and_stay_known(built: Path, tmp_path: Path, say: Say) -> None:
    home, sample = traced_home.copied(built, tmp_path), sample_of(built)
    text = (home / "recipes/current.yaml").read_text()
    saw = sorted(str(path.parent) for path in home.glob("checkpoints/*/*/manifest.parquet"))
    assert len(saw) == 2
    for learning_rate in (2e-3, 1e-3):
        change(home, stages=stages(home, learning_rate=learning_rate))
        _, out, _ = say(home, "forget", sample, "--dry-run")
        assert [line.removeprefix("saw them: ") for line in out.splitlines() if "saw them: " in line] == saw
    assert yaml.safe_load(text) == yaml.safe_load((home / "recipes/current.yaml").read_text())
    assert say(home, "forget", sample, "--yes")[0] == 0
    _, out, _ = say(home, "trace", sample)
    assert all(f"seen by  {folder}\n" in out for folder in saw)
    _, out, _ = say(home, "trace", sample, "--json")
    document = next(d for d in json.loads(out)["documents"] if d["sample_id"] == sample)
    assert document["seen_before"] == saw


def test_checkpoints_on_other_packs_are_not_named(built: Path, say: Say) -> None:
    held = packs(built)
    first = {format_id(d["sample_id"]) for (stage, _), pack in held.items() for d in pack if stage == "first"}
    everything = {format_id(d["sample_id"]) for pack in held.values() for d in pack}
    texts = {format_id(d["sample_id"]) for pack in held.values() for d in pack if d["family"] == "text"}
    assert texts <= everything - first
    _, out, _ = say(built, "forget", min(texts), "--dry-run")
    saw = [line for line in out.splitlines() if line.startswith("saw them: ")]
    assert len(saw) == 1
    assert "/checkpoints/second/" in saw[0]


def test_packs_may_be_unequal_for_what_they_lost(built: Path, tmp_path: Path, say: Say) -> None:
    home = traced_home.copied(built, tmp_path)
    change(home, stages=stages(home, packs_per_step=8))
    lost = sorted(number for stage, number in packs(home) if stage == "first")[:3]
    ids = [format_id(d["sample_id"]) for number in lost for d in packs(home)["first", number][1:]]
    code, out, err = say(home, "forget", *ids, "--yes")
    assert (code, "not packed anew" in out) == (0, False), err
    assert holders(home, set(ids)) == {}
    assert {stage for stage, _ in packs(home)} == {"first", "second"}


def test_a_stage_that_lost_everything_keeps_no_other_from_being_packed(
    built: Path, tmp_path: Path, say: Say
) -> None:
    home = traced_home.copied(built, tmp_path)
    ids = [
        format_id(d["sample_id"])
        for (stage, _), pack in packs(home).items()
        for d in pack
        if stage == "first"
    ]
    for _ in range(2):
        code, out, err = say(home, "forget", *ids, "--yes")
        assert (code, err.splitlines()[-1].partition(". ")[0]) == (
            1,
            "error: packs/first: could not be packed anew",
        )
        assert "packs/first is not packed anew: packing of stage 'first': no document can be packed: " in out
        assert "All that fit a pack are forgotten: take the stage out of the recipe, or add data" in out
        assert holders(home, set(read_forgotten(str(home)))) == {}
        assert {stage for stage, _ in packs(home)} == {"second"}
    change(home, stages={"second": stages(home)["second"]}, evaluation={"stages": []})
    assert say(home, "forget", *ids, "--yes")[0] == 0
    assert not list(home.glob("packs/first/*/*"))


def test_a_stage_whose_check_fails_leaves_no_old_packs(built: Path, tmp_path: Path, say: Say) -> None:
    home, sample = traced_home.copied(built, tmp_path), sample_of(built)
    strict = {name: stage | {"packs_per_step": 2} for name, stage in stages(home).items()}
    strict["first"]["packing"] = strict["first"]["packing"] | {"min_balance": 1.0}
    change(home, stages=strict)
    code, out, err = say(home, "forget", sample, "--yes", "--json")
    said = json.loads(out)
    assert code == 1
    assert "packs/first: could not be packed anew" in err
    assert list(said["failed"]) == ["packs/first"]
    assert "check balance failed" in said["failed"]["packs/first"]
    assert said["made"] == ["packs/second"]
    assert len(said["removed"]) == 2
    assert holders(home, set(read_forgotten(str(home)))) == {}


def test_packs_whose_tokens_are_gone_wait(built: Path, tmp_path: Path, say: Say) -> None:
    home, sample = traced_home.copied(built, tmp_path), sample_of(built)
    for manifest in home.glob("tokens/edit/**/manifest.parquet"):
        manifest.unlink()
    code, out, _ = say(home, "forget", sample, "--yes")
    assert code == 0
    assert "packs/second waits for `nextscale run`, which makes it without the documents: " in out
    assert {stage for stage, _ in packs(home)} == {"first"}  # made anew: its tokens are there
    assert sample in read_forgotten(str(home))
    assert holders(home, set(read_forgotten(str(home)))) == {}


def test_a_source_that_changed_since_does_not_keep_documents(built: Path, tmp_path: Path, say: Say) -> None:
    home, sample = traced_home.copied(built, tmp_path), sample_of(built)
    changed = (tmp_path / "pictures").resolve() / traced_home.BAD
    aside = changed.rename(tmp_path / "aside")
    try:
        code, out, _ = say(home, "forget", sample, "--yes")
        again = say(home, "forget", sample, "--yes")
    finally:
        aside.rename(changed)
    assert (code, again[0]) == (0, 0)
    assert "waits for" not in out
    assert sample in read_forgotten(str(home))
    assert holders(home, set(read_forgotten(str(home)))) == {}
