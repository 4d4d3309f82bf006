"""45 planted groups with copies, damage and strangers: each filter finds what was planted for it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from curate.subject.measures import Rates, rates, show
from PIL import Image

from infra.document import ImageSegment
from infra.manifest import Output, read_table
from infra.storage import file_info
from jobs.curate.stage import kept_rows
from jobs.curate.subject.group import decide_groups
from jobs.curate.subject.judge import ConfirmWorker
from jobs.curate.subject.own import Told, own_verdict
from jobs.curate.subject.pairs import pair_id
from jobs.curate.subject.score import SCHEMA, score_picture, score_shard
from jobs.curate.subject.units import plan_units
from jobs.curate.subject.words import SubjectWords
from jobs.curated import iter_unit
from jobs.recipe import Duplicates, Filters
from jobs.recipe.curation.subject import WORDS, SubjectType
from jobs.recipe.sources import FolderSource, OmniCorpusSource
from jobs.recipe.vlm import SourceText
from jobs.sources import Record
from jobs.sources.discover import list_shards
from jobs.sources.shards import Shard
from jobs.specs.subject import ConfirmSettings, GroupSettings, SubjectScoreSettings
from jobs.units import Unit

GROUPS = 45
SOURCE = FolderSource(uri="elsewhere")
SETTINGS = GroupSettings(filters=Filters(), duplicates=Duplicates(), max_group=6)

SUBJECTS: list[tuple[str, SubjectType, tuple[str, str, str]]] = [
    ("woman", "human", ("A woman at the sea", "the same woman, laughing", "Two cats and a WOMAN.")),
    ("bear", "animal", ("A brown bear.", "Bears in the snow", "a bear with a ball")),
    ("guitar", "object", ("An old guitar", "guitars on a wall", "He holds a guitar")),
    ("logo", "abstract", ("The logo in blue", "a logo on a wall", "our logos")),
    ("watercolor", "style", ("Hills in watercolor", "a watercolor of rain", "Watercolor, very wet")),
]
STRANGERS = ("The meadow in May", "What a big brown day", "an evening in blue by the sea")


def photo(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    fine = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    size = (96, 80)
    return Image.blend(coarse.resize(size, Image.Resampling.BICUBIC), fine.resize(size), 0.2)


def encode(image: Image.Image, name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name)
    return buffer.getvalue()


def plant(folder: Path, number: int) -> dict[str, str]:
    """One group with its captions; what should become of each picture, by path.

    Three pictures of a subject, a stranger, a copy, a picture that looks the same, a blurred and a damaged
    one; every third group only keeps a picture and its copies, every fifth has four pictures too many.
    """
    first = 20 * number
    captions = SUBJECTS[number % len(SUBJECTS)][2]
    good = {f"a{n}.png": encode(photo(first + n)) for n in range(3 if number % 3 else 1)}
    stranger = {"b.png": encode(photo(first + 3))} if number % 3 else {}
    many = {
        f"e{n}.png": encode(photo(first + 4 + n)) for n in range(0 if number % 5 or not number % 3 else 4)
    }
    blurred = photo(first + 9).resize((4, 4)).resize((256, 256), Image.Resampling.BICUBIC)
    bad = {
        "x0.png": (good["a0.png"], "exact_duplicate"),
        "x1.jpg": (encode(photo(first), "JPEG"), "near_duplicate"),
        "x2.png": (encode(blurred), "blurred"),
        "x3.png": (good["a0.png"][:900], "truncated"),
    }
    names = [*good, *stranger, *many]
    expected = dict.fromkeys(names, "alone" if len(names) == 1 else "kept") | {
        n: r for n, (_, r) in bad.items()
    }
    for name, data in ((good | stranger | many) | {n: d for n, (d, _) in bad.items()}).items():
        (folder / name).write_bytes(data)
    for name, caption in zip(good, captions, strict=False):
        (folder / name).with_suffix(".txt").write_text(caption)
    for name in stranger:
        (folder / name).with_suffix(".txt").write_text(STRANGERS[number % len(STRANGERS)])
    return {str(folder / name): fate for name, fate in expected.items()}


@dataclass(frozen=True)
class Planted:
    """The scores of all groups, and the fate that was planted for each picture by path."""

    source: FolderSource
    scores: pa.Table
    expected: dict[str, str]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("groups")
    expected: dict[str, str] = {}
    for number in range(GROUPS):
        (folder / f"{number:02d}").mkdir()
        expected |= plant(folder / f"{number:02d}", number)
    source = FolderSource(uri=str(folder), shard_records=64)
    settings = SubjectScoreSettings(source=source, max_bytes=10**6, max_pixels=10**6)
    output = Output(str(tmp_path_factory.mktemp("scored")))
    receipts = [score_shard(Unit(s.name, s), output, settings) for s in list_shards("subject", source)]
    assert len(receipts) > 3, "groups go over the borders of shards"
    tables = [read_table(f"{output.uri}/{file.path}") for receipt in receipts for file in receipt.files]
    return Planted(source, pa.concat_tables(tables).sort_by("source"), expected)


def fates(scores: pa.Table, settings: GroupSettings) -> dict[str, str]:
    decided = decide_groups(scores.filter(scores["reason"].is_null()), settings, seed=0)
    rows = [*decided.to_pylist(), *scores.filter(scores["reason"].is_valid()).to_pylist()]
    return {row["source"].replace("#", "/"): row["reason"] or "kept" for row in rows}


REASONS = ("kept", "exact_duplicate", "near_duplicate", "blurred", "truncated", "alone")


def test_each_filter_finds_what_was_planted_for_it(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, expected = planted.scores, planted.expected
    open_ = SETTINGS.model_copy(update={"max_group": 100})
    found = fates(scores, open_)
    measured = {reason: rates(expected, found, reason) for reason in REASONS}
    show(capsys, "groups", measured)
    assert all(one.good for one in measured.values())
    # The same measure finds filters that were turned off, and copies that are looked for by their names.
    loose = Filters(min_entropy=0, min_sharpness=0, max_border=1, max_frame=1)
    off = fates(scores, open_.model_copy(update={"filters": loose}))
    assert rates(expected, off, "blurred") == Rates(0, 0)
    renamed = scores.set_column(
        scores.schema.get_field_index("group"), "group", pa.array([str(n) for n in range(len(scores))])
    )
    assert rates(expected, fates(renamed, open_), "exact_duplicate") == Rates(0, 0)


def test_large_groups_are_cut_by_lot(planted: Planted) -> None:
    scores, expected = planted.scores, planted.expected
    found = fates(scores, SETTINGS)
    kept = Counter(source.rpartition("/")[0] for source, fate in found.items() if fate == "kept")
    assert max(kept.values()) == SETTINGS.max_group
    over = [source for source, fate in found.items() if fate == "over_group_limit"]
    assert all(expected[source] == "kept" for source in over)
    assert Counter(source.rpartition("/")[0] for source in over).keys() == {
        source.rpartition("/")[0] for source in expected if source.endswith("e3.png")
    }
    assert {source.rpartition("/")[2] for source in over} != {"e2.png", "e3.png"}, "names do not decide"


def test_the_order_of_records_changes_no_decision(planted: Planted) -> None:
    scores = planted.scores
    order = np.random.default_rng(0).permutation(len(scores))
    assert fates(scores.take(pa.array(order)), SETTINGS) == fates(scores, SETTINGS)


def test_a_picture_in_two_groups_is_two_records_and_one_in_none_is_rejected() -> None:
    settings = SubjectScoreSettings(source=SOURCE, max_bytes=10**6, max_pixels=10**6)
    records = [Record(f"{n}#1", encode(photo(0)), "a dog", group=group) for n, group in enumerate("ab")]
    records.append(replace(records[0], source="2#1", group=None))
    rows = [score_picture(record, "000000", settings) for record in records]
    assert [row["reason"] for row in rows] == [None, None, "no_group"]
    assert [row["group"] for row in rows] == ["a", "b", None]
    decided = decide_groups(pa.Table.from_pylist(rows[:2], schema=SCHEMA), SETTINGS, seed=0)
    assert decided["reason"].to_pylist() == ["alone", "alone"]


def test_the_fetched_pictures_of_a_page_are_a_group(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for number, page in enumerate("aab"):
            told = json.dumps({"source": f"{page}/{number}", "caption": "a dog", "group": page}).encode()
            for suffix, data in (("json", told), ("png", encode(photo(number)))):
                header = tarfile.TarInfo(f"{number:09d}.{suffix}")
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    shard = Shard("000000", (file_info(str(tmp_path / "0.tar")),))
    settings = SubjectScoreSettings(source=OmniCorpusSource(uri="x"), max_bytes=10**6, max_pixels=10**6)
    output = Output(str(tmp_path / "out"))
    (entry,) = score_shard(Unit("000000", shard), output, settings).files
    decided = decide_groups(read_table(f"{output.uri}/{entry.path}"), SETTINGS, seed=0).to_pylist()
    assert [(row["group"], row["reason"]) for row in decided] == [("a", None), ("a", None), ("b", "alone")]


def test_captions_tell_which_pairs_share_a_subject(
    planted: Planted, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, expected = planted.scores, planted.expected
    told = {
        row["source"]: Told(b"", 1, row["caption"], row["truth"], row["group"])
        for row in scores.to_pylist()
        if expected[row["source"].replace("#", "/")] == "kept" and row["caption"]
    }
    truth: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str], str] = {}
    words = SubjectWords(WORDS)
    for pair in combinations(sorted(told), 2):
        if told[pair[0]].group != told[pair[1]].group:
            continue
        own = own_verdict(told[pair[0]], told[pair[1]], words)
        subject, kind, _ = SUBJECTS[int(told[pair[0]].group[-2:]) % len(SUBJECTS)]
        shares = not any(source.endswith("#b.png") for source in pair)
        truth[pair] = f"{kind}: {subject}" if shares else "nothing"
        found[pair] = f"{own.verdict.kind}: {own.verdict.subject}" if own.verdict.shared else "nothing"
        assert own.reason == (None if own.verdict.shared else "dissimilar_captions")
    measured = {outcome: rates(truth, found, outcome) for outcome in sorted(set(truth.values()))}
    show(capsys, "captions", measured)
    assert all(one.good for one in measured.values())
    assert not rates(truth, dict.fromkeys(truth, "nothing"), "nothing").good


def test_pairs_whose_pictures_lie_in_two_shards_are_published(planted: Planted, tmp_path: Path) -> None:
    usable = planted.scores.filter(planted.scores["reason"].is_null())
    decided = decide_groups(usable, SETTINGS, seed=0)
    by_group: dict[str, list[dict[str, Any]]] = {}
    for row in kept_rows(decided).to_pylist():
        by_group.setdefault(row["group"], []).append(row)
    members = [pair for rows in by_group.values() for pair in combinations(rows, 2)]
    pairs = [
        {
            "sample_id": pair_id(one["sha256"], other["sha256"]),
            "source": f"{one['source']} + {other['source']}",
            "group": one["group"],
            "reference": one["source"],
            "target": other["source"],
        }
        for one, other in members
        if one["shard"] != other["shard"]
    ]
    assert len(pairs) > 3
    units = plan_units(pairs, decided, list_shards("subject", planted.source), 10**6)
    settings = ConfirmSettings(source=planted.source, vlm=SourceText(), words=WORDS)
    worker = ConfirmWorker(Output(str(tmp_path)), settings, None)
    files = [file.path for unit in units for file in worker(unit).files if file.path.endswith(".tar")]
    documents = [pair for path in files for pair in iter_unit(str(tmp_path), path)]
    assert {document.sample_id for document, _ in documents} <= {row["sample_id"] for row in pairs}
    assert documents
    for document, media in documents:
        assert {hashlib.sha256(data).hexdigest() for data in media.values()} == {
            segment.sha256 for segment in document.segments if isinstance(segment, ImageSegment)
        }
