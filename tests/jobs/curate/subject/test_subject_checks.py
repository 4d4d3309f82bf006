"""Every blocking check of subject curation holds for a right output and fails for a wrong one."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assets.checks import Check, Published
from assets.checks.records import CONSERVATION
from assets.checks.subject import (
    EMBEDDINGS,
    EVERY_PAIR,
    GROUPS,
    NO_PAIR_TWICE,
    PAIR_DOCUMENTS,
    SAME_GROUP,
    SIMILARITY,
)
from assets.curation import subject
from infra.catalogue import BASE_FIELDS, Counts
from infra.manifest import FileEntry, Manifest, Output
from jobs.recipe import Duplicates, Filters, Recipe
from jobs.recipe.sources import OmniCorpusSource, SceneAlbumsSource
from jobs.specs.subject import CandidateSettings, GroupSettings
from pipelines.project import DEMO_RECIPE, load_recipe

Row = dict[str, Any]
Change = Callable[[list[Row]], object]


def verdict(check: Check, output: Published) -> bool:
    found = check.run(output)
    assert found.why
    assert "\n" not in found.why
    return found.passed


def publish(
    folder: Path,
    files: Callable[[Output], list[FileEntry]],
    settings: Any = None,
    kept: int = 0,
    **inputs: str,
) -> Published:
    output = Output(str(folder))
    counts = Counts(total=kept, kept=kept)
    manifest = Manifest(
        asset="subject/x", partition=None, fingerprint="", files=tuple(files(output)), counts=counts
    )
    folders = {f"subject/{name}": [place] for name, place in inputs.items()}
    return Published(str(folder), output.commit(manifest), folders, settings)


def catalogue(folder: Path, rows: list[Row], settings: Any = None, **inputs: str) -> Published:
    known = {field.name for field in BASE_FIELDS}
    types = {"similarity": pa.float64()}
    extra = sorted({name for row in rows for name in row} - known)
    schema = pa.schema([*BASE_FIELDS, *((name, types.get(name, pa.string())) for name in extra)])
    table = pa.Table.from_pylist(rows, schema=schema)
    kept = sum(row["status"] == "kept" for row in rows)
    return publish(
        folder, lambda o: [o.publish_table("data/catalogue.parquet", table)], settings, kept, **inputs
    )


def pictures() -> list[Row]:
    """Two groups of three pictures, and one that was rejected."""
    rows = [
        {"sample_id": n, "source": f"s{n}", "status": "kept", "group": "ab"[n // 3], "sha256": f"{n}"}
        for n in range(6)
    ]
    return [*rows, rows[5] | {"sample_id": 9, "source": "s9", "status": "rejected", "reason": "alone"}]


def pairs() -> list[Row]:
    sides = [("s0", "s1", "a"), ("s1", "s2", "a"), ("s4", "s3", "b")]
    return [
        {
            "sample_id": n,
            "source": f"{one} + {other}",
            "status": "kept",
            "group": group,
            "reference": one,
            "target": other,
            "similarity": 0.8,
        }
        for n, (one, other, group) in enumerate(sides)
    ]


GROUP = GroupSettings(filters=Filters(), duplicates=Duplicates(), max_group=3)
LIMITS = CandidateSettings(min_similarity=0.6, max_similarity=0.9, pairs_per_picture=2)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda rows: None, True),
        (lambda rows: rows[0].update(group="c"), False),
        (lambda rows: rows[0].update(sha256="1"), False),
        (lambda rows: rows[6].update(status="kept"), False),
    ],
)
def test_groups_can_be_paired(tmp_path: Path, change: Change, holds: bool) -> None:
    rows = pictures()
    change(rows)
    assert verdict(GROUPS, catalogue(tmp_path, rows, GROUP)) is holds


@pytest.mark.parametrize(
    ("check", "change", "holds"),
    [
        (SIMILARITY, lambda rows: None, True),
        (SIMILARITY, lambda rows: rows[0].update(similarity=0.59), False),
        (SIMILARITY, lambda rows: rows[0].update(similarity=0.91), False),
        (SIMILARITY, lambda rows: rows[0].update(similarity=float("nan")), False),
        (SIMILARITY, lambda rows: rows[2].update(reference="s1"), False),
        (NO_PAIR_TWICE, lambda rows: None, True),
        (NO_PAIR_TWICE, lambda rows: rows.append(rows[0] | {"source": "x"}), False),
        (NO_PAIR_TWICE, lambda rows: rows[1].update(reference="s1", target="s0"), False),
        (NO_PAIR_TWICE, lambda rows: rows[1].update(target="s1"), False),
        (SAME_GROUP, lambda rows: None, True),
        (SAME_GROUP, lambda rows: rows[0].update(target="s3"), False),
        (SAME_GROUP, lambda rows: rows[0].update(group="b"), False),
        (SAME_GROUP, lambda rows: rows[2].update(target="s9"), False),
        (SAME_GROUP, lambda rows: rows[2].update(target="elsewhere"), False),
    ],
)
def test_pairs(tmp_path: Path, check: Check, change: Change, holds: bool) -> None:
    rows = pairs()
    change(rows)
    grouped = catalogue(tmp_path / "in", pictures())
    assert verdict(check, catalogue(tmp_path / "out", rows, LIMITS, grouped=grouped.folder)) is holds


def every_pair() -> list[Row]:
    """All pairs of both groups, one of them rejected."""
    sides = [("s0", "s1"), ("s0", "s2"), ("s1", "s2"), ("s3", "s4"), ("s3", "s5"), ("s4", "s5")]
    rows = [
        {
            "sample_id": n,
            "source": f"{one} + {other}",
            "status": "kept",
            "group": "ab"[n // 3],
            "reference": one,
            "target": other,
            "similarity": 0.8,
        }
        for n, (one, other) in enumerate(sides)
    ]
    rows[2].update(status="rejected", reason="over_limit")
    return rows


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda rows: None, True),
        (lambda rows: rows.pop(), False),
        (lambda rows: rows.pop(2), False),
        (lambda rows: [rows.pop() for _ in range(3)], False),
        (lambda rows: rows[0].update(group="b"), False),
        (lambda rows: rows.append(rows[0] | {"source": "x"}), False),
        (lambda rows: rows[0].update(reference="s1", target="s2"), False),
    ],
)
def test_every_pair_of_a_group_was_considered(tmp_path: Path, change: Change, holds: bool) -> None:
    """Conservation compares the stage with itself: what it lost is only seen from the pictures."""
    rows = every_pair()
    change(rows)
    grouped = catalogue(tmp_path / "in", pictures())
    output = catalogue(tmp_path / "out", rows, LIMITS, grouped=grouped.folder)
    assert verdict(EVERY_PAIR, output) is holds


def test_conservation_counts_pairs_where_pictures_became_pairs(tmp_path: Path) -> None:
    """No kept picture of the stage before is asked for; the stage's own rows are."""
    grouped = catalogue(tmp_path / "in", pictures())
    output = catalogue(tmp_path / "out", pairs(), LIMITS, grouped=grouped.folder)
    assert verdict(CONSERVATION, output)
    lost = output.manifest.model_copy(update={"counts": Counts(total=4, kept=4)})
    assert not verdict(CONSERVATION, Published(output.folder, lost, output.inputs, LIMITS))


@pytest.mark.parametrize(
    ("vectors", "holds"),
    [
        ({"s0": [1.0, 0.0], "s1": [0.6, 0.8]}, True),
        ({"s0": [1.0, 0.0]}, False),
        ({"s0": [1.0, 0.0], "s1": [0.6, 0.7]}, False),
        ({"s0": [1.0, 0.0], "s1": [float("nan"), 0.7]}, False),
        ({"s0": [1.0, 0.0], "s1": [1.0]}, False),
    ],
)
def test_embeddings(tmp_path: Path, vectors: dict[str, list[float]], holds: bool) -> None:
    rows = pa.table(
        {
            "source": list(vectors),
            "embedding": pa.array([np.array(v, "<f2").tobytes() for v in vectors.values()], pa.binary()),
        }
    )
    base = pa.schema([*BASE_FIELDS])
    kept = pa.Table.from_pylist(
        [{"sample_id": n, "source": f"s{n}", "status": "kept"} for n in range(2)], schema=base
    )
    output = publish(
        tmp_path,
        lambda o: [
            o.publish_table("data/catalogue.parquet", kept),
            o.publish_table("data/0.embeddings.parquet", rows),
        ],
    )
    assert verdict(EMBEDDINGS, output) is holds


def document() -> list[Row]:
    image = {"kind": "image", "member": "a.png", "width": 1, "height": 1, "sha256": "a", "loss": False}
    text = {"kind": "text", "text": "Show it again.", "loss": False}
    return [image, text, image | {"sha256": "b", "member": "b.png", "loss": True}]


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda segments: None, True),
        (lambda segments: segments[0].update(loss=True), False),
        (lambda segments: segments[1].update(text=" "), False),
        (lambda segments: segments[2].update(sha256="a"), False),
        (lambda segments: segments.reverse(), False),
        (lambda segments: segments.pop(), False),
    ],
)
def test_documents_show_one_picture_and_ask_for_another(tmp_path: Path, change: Change, holds: bool) -> None:
    segments = document()
    change(segments)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        data = json.dumps({"segments": segments}).encode()
        header = tarfile.TarInfo(f"{7:016x}.json")
        header.size = len(data)
        tar.addfile(header, io.BytesIO(data))
    output = publish(tmp_path, lambda o: [o.publish("data/0.tar", buffer.getvalue())])
    assert verdict(PAIR_DOCUMENTS, output) is holds


def recipe(source: SceneAlbumsSource | OmniCorpusSource | None, *changes: str) -> Recipe:
    plan = load_recipe(DEMO_RECIPE, list(changes))
    return plan.model_copy(update={"sources": plan.sources.model_copy(update={"subject": source})})


def test_a_changed_threshold_makes_neither_scores_nor_embeddings_anew() -> None:
    source = SceneAlbumsSource(count=10)

    def names(*changes: str) -> dict[str, str]:
        plan = recipe(source, *changes)
        return {asset.key: asset.fingerprint(plan, None, {}) for asset in subject.assets(plan)}

    before = names()
    for change, made in {
        "curation.subject.min_similarity=0.1": {"subject/candidates"},
        "curation.subject.pairs_per_picture=9": {"subject/candidates"},
        "curation.subject.max_group=9": {"subject/grouped"},
        "curation.subject.filters.min_side=9": {"subject/grouped"},
        "curation.subject.duplicates.max_distance=9": {"subject/grouped"},
        "tokenizer.semantic.pretrained=there": {"subject/embedded"},
    }.items():
        after = names(change)
        assert {key for key in before if before[key] != after[key]} == made, change


def test_words_matter_only_where_the_source_confirms() -> None:
    def confirmed(*changes: str) -> str:
        stage = subject.assets(recipe(SceneAlbumsSource(count=10), *changes))[-1]
        assert stage.key == "subject/confirmed"
        return stage.fingerprint(recipe(SceneAlbumsSource(count=10), *changes), None, {})

    asked = ("vlm.kind=openai", "vlm.base_url=http://127.0.0.1:8000/v1", "vlm.model=judge")
    words = "curation.subject.words={animal: [dog]}"
    assert confirmed() != confirmed(words)
    assert confirmed(*asked) == confirmed(*asked, words)


def test_a_recipe_without_a_source_has_no_stages_and_urls_are_fetched_first() -> None:
    assert subject.assets(recipe(None)) == []
    first, *_ = subject.assets(recipe(OmniCorpusSource(uri="here")), "subject/fetched")
    assert (first.inputs, first.records_from) == (("subject/fetched",), ("subject/fetched",))
