"""Every blocking check holds for a right output and fails for a wrong one."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from safetensors.numpy import save

from assets.checks import Check, Published
from assets.checks.curation import DECODABLE, DOCUMENTS, DUPLICATES, THRESHOLDS
from assets.checks.evaluation import SAMPLES
from assets.checks.packing import BALANCE, LIMITS, MIXTURE, NOTHING_LOST
from assets.checks.records import CONSERVATION, UNIQUE_IDS, UNIQUE_SOURCES
from assets.checks.t2i import CAPTIONS, EMBEDDINGS, QUOTAS, SCORES, SELECTION, TOPIC_SHARE, TOPICS
from assets.checks.tokenizer import CODEBOOK_USE, LEARNT, NO_REGRESSION, PSNR
from assets.checks.tokens import CONSERVATION as TOKENS_CONSERVATION
from assets.checks.tokens import DECODED_BACK, FEW_ERRORS, IDS_IN_RANGE, LENGTHS
from assets.checks.training import COARSE_LOSS, FINITE, RESUMABLE
from infra.catalogue import BASE_FIELDS, Counts
from infra.manifest import FileEntry, Manifest, Output
from jobs.pack.catalogue import SCHEMA as PACKS_CATALOGUE
from jobs.recipe import (
    Balance,
    Captions,
    Duplicates,
    Evaluation,
    Filters,
    Level,
    Model,
    Packing,
    ScenesSource,
    Stage,
    TokenizerShared,
    TokenizerStage,
    Tokens,
    Topics,
)
from jobs.recipe.curation.t2i import Selection
from jobs.schemas import PACKS_SCHEMA, TOKENS_SCHEMA, DocumentTokens, SegmentTokens, to_row, with_metadata
from jobs.specs import EvaluateSettings, PackSettings, TokenizerSettings, TokensSettings, TrainSettings
from jobs.specs.t2i import (
    BalanceSettings,
    CaptionSettings,
    FilterSettings,
    ScoreSettings,
    SelectSettings,
    TopicSettings,
)
from model.scales import ScaleSchedule

Row = dict[str, Any]
Change = Callable[[list[Row]], object]


def verdict(check: Check, output: Published) -> bool:
    """The outcome of a check, which must always say why in one line."""
    found = check.run(output)
    assert found.why
    assert "\n" not in found.why
    return found.passed


def publish(
    folder: Path,
    asset: str,
    files: Callable[[Output], list[FileEntry]],
    counts: Counts,
    settings: Any = None,
    inputs: dict[str, list[str]] | None = None,
    **metadata: Any,
) -> Published:
    """A finished output as its checks see it."""
    output = Output(str(folder))
    manifest = Manifest(
        asset=asset,
        partition=None,
        fingerprint="0" * 16,
        files=tuple(files(output)),
        counts=counts,
        metadata=metadata,
    )
    return Published(str(folder), output.commit(manifest), inputs or {}, settings)


def upstream(folder: Path, kept: int) -> list[str]:
    """An input that handed on so many records."""
    publish(folder, "before", lambda _: [], Counts(total=kept, kept=kept))
    return [str(folder)]


# Records -------------------------------------------------------------------------------------


def records() -> list[Row]:
    good = {"status": "kept", "reason": None, "width": 100, "height": 90, "bytes": 1000}
    scores = dict.fromkeys(("entropy", "sharpness", "contrast", "colourfulness"), 50.0)
    more = {"border": 0.0, "frame": 0.0, "perceptual_hash": 1, "topic": "birds", "aesthetic": 5.0}
    rows = [
        good | scores | more | {"sample_id": n, "source": f"here#{n}", "sha256": f"{n:02x}"} for n in range(4)
    ]
    rows[1]["topic"] = rows[3]["topic"] = "fish"
    rejected = {"sample_id": 9, "source": "here#9", "status": "rejected", "reason": "small", "width": 3}
    return [*rows, rejected]


FLOATS = ("entropy", "sharpness", "contrast", "colourfulness", "border", "frame", "aesthetic")
INTEGERS = ("width", "height", "bytes", "perceptual_hash", "duplicate_of")


def stage(
    folder: Path,
    rows: list[Row],
    settings: Any = None,
    inputs: dict[str, list[str]] | None = None,
    **metadata: Any,
) -> Published:
    extra = [("topic", pa.string()), ("sha256", pa.string()), ("text", pa.string())]
    extra += [(name, pa.int64()) for name in INTEGERS] + [(name, pa.float64()) for name in FLOATS]
    schema = pa.schema([*BASE_FIELDS, *extra])
    table = pa.Table.from_pylist(rows, schema=schema)
    return publish(
        folder / "out",
        "t2i/filtered",
        lambda output: [output.publish_table("data/catalogue.parquet", table)],
        Counts(total=5, kept=4, rejected={"small": 1}),
        settings,
        {"raw/t2i": upstream(folder / "in", 5)} | (inputs or {}),
        **metadata,
    )


@pytest.mark.parametrize("check", [CONSERVATION, UNIQUE_SOURCES, UNIQUE_IDS])
def test_a_right_catalogue_passes(tmp_path: Path, check: Check) -> None:
    assert verdict(check, stage(tmp_path, records()))


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (CONSERVATION, lambda rows: rows.pop()),
        (CONSERVATION, lambda rows: rows.append(rows[0] | {"source": "here#10"})),
        (CONSERVATION, lambda rows: rows[0].update(status="rejected", reason="small")),
        (CONSERVATION, lambda rows: rows[4].update(reason="blurred")),
        (CONSERVATION, lambda rows: rows[0].update(status="errored")),
        (UNIQUE_SOURCES, lambda rows: rows[4].update(source="here#0")),
        (UNIQUE_IDS, lambda rows: rows[0].update(sample_id=1)),
    ],
)
def test_a_wrong_catalogue_fails(tmp_path: Path, check: Check, change: Change) -> None:
    rows = records()
    change(rows)
    assert not verdict(check, stage(tmp_path, rows))


def test_records_lost_between_stages_fail(tmp_path: Path) -> None:
    output = stage(tmp_path, records())
    upstream(tmp_path / "in", 6)
    assert not verdict(CONSERVATION, output)


FILTERS = FilterSettings(filters=Filters(), duplicates=Duplicates())


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"width": 63}, False),
        ({"height": 401}, False),
        ({"bytes": 50_000_001}, False),
        ({"entropy": 0.9}, False),
        ({"sharpness": 4.9}, False),
        ({"border": 0.5}, False),
        ({"frame": 0.06}, False),
    ],
)
def test_thresholds(tmp_path: Path, change: Row, holds: bool) -> None:
    rows = records()
    rows[0].update(change)
    assert verdict(THRESHOLDS, stage(tmp_path, rows, FILTERS)) is holds


LIMITS_OF_SCORES = ScoreSettings(source=ScenesSource(count=5), max_bytes=1000, max_pixels=9000)


@pytest.mark.parametrize(
    ("row", "change", "holds"),
    [
        (0, {}, True),
        (0, {"sharpness": None}, False),
        (0, {"contrast": float("nan")}, False),
        (0, {"perceptual_hash": None}, False),
        (0, {"sha256": None}, False),
        (0, {"width": None}, False),
        (0, {"bytes": 1001}, False),
        (0, {"height": 91}, False),
        (4, {"width": 3}, False),
    ],
)
def test_scores(tmp_path: Path, row: int, change: Row, holds: bool) -> None:
    rows = records()
    rows[4]["width"] = None
    rows[row].update(change)
    assert verdict(SCORES, stage(tmp_path, rows, LIMITS_OF_SCORES)) is holds


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({4: {"reason": "near_duplicate", "duplicate_of": 2}}, True),
        ({4: {"reason": "near_duplicate", "duplicate_of": 7}}, False),
        ({4: {"reason": "exact_duplicate"}}, False),
        ({1: {"sha256": "00"}}, False),
    ],
)
def test_duplicates(tmp_path: Path, changes: dict[int, Row], holds: bool) -> None:
    rows = records()
    for row, change in changes.items():
        rows[row].update(change)
    assert verdict(DUPLICATES, stage(tmp_path, rows)) is holds


EMBEDDED = pa.schema([("source", pa.string()), ("embedding", pa.binary()), ("aesthetic", pa.float64())])


def embedding(name: str, angle: float, length: float = 1.0, aesthetic: float = 5.0) -> Row:
    vector = length * np.array([np.cos(angle), np.sin(angle)])
    return {"source": name, "embedding": vector.astype("<f2").tobytes(), "aesthetic": aesthetic}


def embedded(folder: Path, rows: list[Row]) -> Published:
    """A finished `t2i/embedded` of four pictures."""
    four = [{"sample_id": n, "source": f"here#{n}", "status": "kept"} for n in range(4)]
    catalogue = pa.Table.from_pylist(four, schema=pa.schema([*BASE_FIELDS]))
    return publish(
        folder,
        "t2i/embedded",
        lambda output: [
            output.publish_table("data/catalogue.parquet", catalogue),
            output.publish_table("data/0.embeddings.parquet", pa.Table.from_pylist(rows, schema=EMBEDDED)),
        ],
        Counts(total=4, kept=4),
    )


ANGLES = [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        (lambda rows: None, True),
        (lambda rows: rows.pop(), False),
        (lambda rows: rows.append(rows[0]), False),
        (lambda rows: rows.__setitem__(0, embedding("here#9", 0.0)), False),
        (lambda rows: rows.__setitem__(0, embedding("here#0", 0.0, length=0.9)), False),
        (lambda rows: rows.__setitem__(0, embedding("here#0", 0.0, length=float("nan"))), False),
        (lambda rows: rows.__setitem__(0, embedding("here#0", 0.0, aesthetic=float("inf"))), False),
        (lambda rows: rows[0].update(embedding=np.array([1, 0, 0], "<f2").tobytes()), False),
    ],
)
def test_embeddings(tmp_path: Path, change: Change, holds: bool) -> None:
    rows = [embedding(f"here#{n}", angle) for n, angle in enumerate(ANGLES)]
    change(rows)
    assert verdict(EMBEDDINGS, embedded(tmp_path, rows)) is holds


@pytest.mark.parametrize(
    ("selection", "holds"),
    [
        (Selection(), True),
        (Selection(min_aesthetic=5.0), True),
        (Selection(min_aesthetic=5.1), False),
        (Selection(min_similarity=0.95), True),
        (Selection(min_similarity=0.8), False),
    ],
)
def test_selection(tmp_path: Path, selection: Selection, holds: bool) -> None:
    rows = [embedding(f"here#{n}", angle) for n, angle in enumerate(ANGLES)]
    inputs = {"t2i/embedded": [embedded(tmp_path / "embedded", rows).folder]}
    settings = SelectSettings(selection=selection)
    assert verdict(SELECTION, stage(tmp_path, records(), settings, inputs)) is holds


@pytest.mark.parametrize(
    ("topic", "holds"), [("birds", True), ("other", True), ("bird", False), (None, False)]
)
def test_topics(tmp_path: Path, topic: str | None, holds: bool) -> None:
    rows = records()
    rows[0]["topic"] = topic
    settings = TopicSettings(
        topics=Topics(taxonomy={"birds": ["bird"], "fish": ["fish"]}), order=["birds", "fish"]
    )
    assert verdict(TOPICS, stage(tmp_path, rows, settings)) is holds


QUOTA = {"available": 2, "quota": 2, "kept": 2, "short": 0}


@pytest.mark.parametrize(
    ("balance", "quotas", "holds"),
    [
        (Balance(), {"birds": QUOTA, "fish": QUOTA}, True),
        (Balance(target="even"), {"birds": QUOTA, "fish": QUOTA}, True),
        (Balance(target={"birds": 1, "fish": 1}), {"birds": QUOTA, "fish": QUOTA}, True),
        (Balance(target="even"), {"birds": QUOTA | {"quota": 9, "short": 7}, "fish": QUOTA}, False),
        (Balance(target="even"), dict.fromkeys(("birds", "fish"), QUOTA | {"quota": 9, "short": 7}), True),
        (Balance(target={"birds": 9, "fish": 1}), {"birds": QUOTA, "fish": QUOTA}, False),
        (Balance(), {"birds": QUOTA | {"kept": 1}, "fish": QUOTA}, False),
        (Balance(), {"birds": QUOTA | {"available": 3}, "fish": QUOTA}, False),
        (Balance(), {"birds": QUOTA | {"quota": 1}, "fish": QUOTA}, False),
        (Balance(), {"birds": QUOTA}, False),
    ],
)
def test_quotas(tmp_path: Path, balance: Balance, quotas: Row, holds: bool) -> None:
    rows = [row for row in records() if row["status"] == "kept"]
    output = stage(tmp_path, rows, BalanceSettings(balance=balance), quotas=quotas)
    assert verdict(QUOTAS, output) is holds


@pytest.mark.parametrize(
    ("text", "holds"), [("a bird", True), ("ab", False), (None, False), ("x" * 11, False)]
)
def test_captions(tmp_path: Path, text: str | None, holds: bool) -> None:
    rows = [row | {"text": "a fish"} for row in records()]
    rows[0]["text"] = text
    limits = Captions(min_characters=3, max_characters=10)
    settings = CaptionSettings(source=ScenesSource(count=5), captions=limits)
    assert verdict(CAPTIONS, stage(tmp_path, rows, settings)) is holds


@pytest.mark.parametrize(("share", "holds"), [(0.5, True), (0.75, True), (1.0, True)])
def test_topic_share(tmp_path: Path, share: float, holds: bool) -> None:
    settings = BalanceSettings(balance=Balance(max_share=share))
    assert verdict(TOPIC_SHARE, stage(tmp_path, records(), settings)) is holds


def test_a_topic_beyond_its_share_fails(tmp_path: Path) -> None:
    rows = records()
    rows[1]["topic"] = "birds"
    settings = BalanceSettings(balance=Balance(max_share=0.7))
    assert not verdict(TOPIC_SHARE, stage(tmp_path, rows, settings))


# Documents -----------------------------------------------------------------------------------


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((16, 16), 50).save(buffer, "PNG")
    return buffer.getvalue()


def documents(folder: Path, members: dict[str, bytes]) -> Published:
    """A captioned output: one kept record with id 7, and a tar with these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    row = {"sample_id": 7, "source": "a#b", "status": "kept", "stage": "captioned"}
    earlier = {"sample_id": 8, "source": "a#c", "status": "rejected", "reason": "small", "stage": "filtered"}
    schema = pa.schema([*BASE_FIELDS, ("stage", pa.string())])
    table = pa.Table.from_pylist([row, earlier], schema=schema)
    return publish(
        folder,
        "t2i/captioned",
        lambda output: [
            output.publish_table("data/catalogue.parquet", table),
            output.publish("data/000000.tar", buffer.getvalue()),
        ],
        Counts(total=1, kept=1),
    )


NAME = f"{7:016x}"


def test_published_documents(tmp_path: Path) -> None:
    output = documents(tmp_path, {f"{NAME}.0.png": _png(), f"{NAME}.json": b"{}"})
    assert verdict(DECODABLE, output)
    assert verdict(DOCUMENTS, output)
    assert verdict(CONSERVATION, output), "rows of earlier stages are not this stage's"


def test_a_truncated_picture_fails(tmp_path: Path) -> None:
    output = documents(tmp_path, {f"{NAME}.0.png": _png()[:-60], f"{NAME}.json": b"{}"})
    assert not verdict(DECODABLE, output)


@pytest.mark.parametrize("names", [[], [NAME, f"{8:016x}"], [f"{8:016x}"]])
def test_lost_or_strange_documents_fail(tmp_path: Path, names: list[str]) -> None:
    assert not verdict(DOCUMENTS, documents(tmp_path, {f"{name}.json": b"{}" for name in names}))


# Tokens and packs ----------------------------------------------------------------------------

SCHEDULE = ScaleSchedule("square-2/2x2", ((1, 1), (2, 2)), 8)


def token_row(number: int, tokens: int = 7) -> Row:
    targets = np.arange(5, dtype=np.uint16)
    inputs = targets.copy()
    inputs[3] = 6
    segments = (
        SegmentTokens("text", True, np.array([3, 4], np.uint32)),
        SegmentTokens("image", True, np.empty(0, np.uint32), SCHEDULE.name, targets, inputs),
    )
    return to_row(DocumentTokens(number, "t2i", segments), tokens, 100)


FATES = [("kept", None)] * 3 + [("rejected", "checksum"), ("errored", "worker_died")]


ONE_ERRORED = Counts(total=5, kept=3, rejected={"checksum": 1}, errored=1)


def tokens(
    folder: Path,
    rows: list[Row],
    fates: list[tuple[str, str | None]] = FATES,
    psnr: float = 20.0,
    counts: Counts = ONE_ERRORED,
) -> Published:
    """Five documents: three with tokens, one whose picture is damaged, one that killed its workers."""
    listed = [
        {"sample_id": n, "source": f"data/0.tar#{n}", "status": status, "reason": reason}
        for n, (status, reason) in enumerate(fates)
    ]
    schema = with_metadata(TOKENS_SCHEMA, [SCHEDULE], {})
    config = json.dumps({"codebook_size": 8}).encode()
    publish(
        folder / "tokenizer",
        "tokenizer/joint",
        lambda output: [output.publish("model/config.json", config)],
        Counts(),
    )
    settings = TokensSettings(tokens=Tokens(), text_tokenizer="builtin", context_mode="shifted")
    published = publish(
        folder / "out",
        "tokens/t2i",
        lambda output: [
            output.publish_table(
                "data/catalogue.parquet", pa.Table.from_pylist(listed, schema=pa.schema([*BASE_FIELDS]))
            ),
            output.publish_table("data/0.parquet", pa.Table.from_pylist(rows, schema=schema)),
        ],
        counts,
        settings,
        {
            "t2i/captioned": upstream(folder / "in", 5),
            "tokenizer/joint": [str(folder / "tokenizer")],
        },
        text_vocabulary=5,
        decoded_back={"pictures": 3, "psnr": psnr},
    )
    return replace(published, records_from=("t2i/captioned",))


def _codes(values: list[int]) -> bytes:
    return np.array(values, "<u2").tobytes()


def _ids(values: list[int]) -> bytes:
    return np.array(values, "<u4").tobytes()


@pytest.mark.parametrize(
    ("check", "change", "holds"),
    [
        (TOKENS_CONSERVATION, lambda rows: None, True),
        (IDS_IN_RANGE, lambda rows: None, True),
        (LENGTHS, lambda rows: None, True),
        (TOKENS_CONSERVATION, lambda rows: rows.pop(), False),
        (TOKENS_CONSERVATION, lambda rows: rows.__setitem__(0, rows[1]), False),
        (IDS_IN_RANGE, lambda rows: rows[0].update(targets=_codes([0, 1, 2, 3, 8])), False),
        (IDS_IN_RANGE, lambda rows: rows[0].update(changed_values=_codes([8])), False),
        (IDS_IN_RANGE, lambda rows: rows[0].update(text_ids=_ids([3, 5])), False),
        (LENGTHS, lambda rows: rows[0].update(targets=_codes([0, 1, 2, 3])), False),
        (LENGTHS, lambda rows: rows[0].update(changed_values=_codes([1, 2])), False),
        (LENGTHS, lambda rows: rows[0]["segments"][1].update(length=4), False),
        (LENGTHS, lambda rows: rows[0].update(text_ids=_ids([3])), False),
    ],
)
def test_tokens(tmp_path: Path, check: Check, change: Change, holds: bool) -> None:
    rows = [token_row(number) for number in range(3)]
    change(rows)
    assert verdict(check, tokens(tmp_path, rows)) is holds


@pytest.mark.parametrize(
    "fates",
    [
        FATES[:-1],
        [*FATES[:-1], ("rejected", "checksum")],
        [*FATES, ("errored", "worker_died")],
        [*FATES[:2], ("errored", "worker_died"), *FATES[3:]],
    ],
)
def test_a_document_without_its_fate_fails(tmp_path: Path, fates: list[tuple[str, str | None]]) -> None:
    rows = [token_row(number) for number in range(3)]
    assert not verdict(TOKENS_CONSERVATION, tokens(tmp_path, rows, fates))


def test_documents_that_were_curated_and_did_not_go_in_fail(tmp_path: Path) -> None:
    output = tokens(tmp_path, [token_row(number) for number in range(3)])
    upstream(tmp_path / "in", 6)
    assert not verdict(TOKENS_CONSERVATION, output)


@pytest.mark.parametrize(
    ("total", "errored", "holds"),
    [(5, 1, True), (5, 2, False), (100, 2, True), (100, 3, False), (0, 0, True)],
)
def test_few_documents_may_end_in_an_error(tmp_path: Path, total: int, errored: int, holds: bool) -> None:
    counts = Counts(total=total, kept=total - errored, errored=errored)
    assert verdict(FEW_ERRORS, tokens(tmp_path, [], counts=counts)) is holds


@pytest.mark.parametrize(("psnr", "holds"), [(10.0, True), (9.9, False), (float("nan"), False)])
def test_pictures_decoded_back_from_tokens(tmp_path: Path, psnr: float, holds: bool) -> None:
    rows = [token_row(number) for number in range(3)]
    assert verdict(DECODED_BACK, tokens(tmp_path, rows, psnr=psnr)) is holds


def test_texts_have_no_codes(tmp_path: Path) -> None:
    with_pictures = tokens(tmp_path, [token_row(number) for number in range(3)])
    of_texts = replace(with_pictures, inputs={"t2i/captioned": with_pictures.inputs["t2i/captioned"]})
    assert not verdict(IDS_IN_RANGE, of_texts)


def packs(folder: Path, change: Callable[[list[Row], list[Row]], object], **more: Any) -> Published:
    """Two packs of two documents each, one of which is packed twice, and a rejected one; then changed."""
    held = [[(0, 0), (1, 0)], [(10, 0), (0, 1)]]
    content = [
        {
            "pack": pack,
            "documents": [token_row(i, 32) | {"repeat": repeat, "pairs": 100} for i, repeat in documents],
            "tokens": 64,
            "cost": 264.0,
        }
        for pack, documents in enumerate(held)
    ]
    row: Row = {"source": "", "status": "kept", "family": "t2i", "tokens": 32, "cost": 132.0}
    listed = [row | {"sample_id": i, "packs": packs} for i, packs in ((0, [0, 1]), (1, [0]), (10, [1]))]
    listed.append(row | {"sample_id": 99, "status": "rejected", "reason": "over_token_cap", "packs": []})
    change(content, listed)
    forgotten = more.pop("forgotten", ())
    settings = PackSettings(
        stage_name="s",
        mixture=more.pop("mixture", {"t2i": 1.0}),
        packing=Packing(max_tokens=64, repeats=more.pop("repeats", {"t2i": 2}), **more),
        model=Model(preset="tiny"),
        packs_per_step=2,
        forgotten=forgotten,
    )
    published = publish(
        folder / "out",
        "packs/s",
        lambda output: [
            output.publish_table(
                "data/catalogue-00000.parquet", pa.Table.from_pylist(listed, schema=PACKS_CATALOGUE)
            ),
            output.publish_table("data/packs-0.parquet", pa.Table.from_pylist(content, schema=PACKS_SCHEMA)),
        ],
        Counts(total=4, kept=3, rejected={"over_token_cap": 1}),
        settings,
        {"tokens/t2i": upstream(folder / "in", 4), "tokenizer/joint": []},
        budget_cost=264.0,
        cost_per_position=1.0,
        cost_per_pair=1.0,
    )
    return replace(published, records_from=("tokens/t2i",))


@pytest.mark.parametrize(
    ("check", "change", "holds"),
    [
        (NOTHING_LOST, lambda packs, listed: None, True),
        (LIMITS, lambda packs, listed: None, True),
        (MIXTURE, lambda packs, listed: None, True),
        (BALANCE, lambda packs, listed: None, True),
        (NOTHING_LOST, lambda packs, listed: packs[0]["documents"].pop(), False),
        (NOTHING_LOST, lambda packs, listed: packs[0]["documents"].append(packs[1]["documents"][0]), False),
        (NOTHING_LOST, lambda packs, listed: packs[0]["documents"][1].update(sample_id=99), False),
        (NOTHING_LOST, lambda packs, listed: packs[1]["documents"][1].update(repeat=0), False),
        (NOTHING_LOST, lambda packs, listed: packs[0].update(pack=2), False),
        (NOTHING_LOST, lambda packs, listed: listed[0].update(packs=[0, 0]), False),
        (NOTHING_LOST, lambda packs, listed: listed[0].update(packs=[0, 1, 1]), False),
        (NOTHING_LOST, lambda packs, listed: listed[1].update(packs=[]), False),
        (NOTHING_LOST, lambda packs, listed: listed[3].update(packs=[0]), False),
        (NOTHING_LOST, lambda packs, listed: listed[3].update(reason="forgotten"), False),
        (NOTHING_LOST, lambda packs, listed: listed[1].update(sample_id=10), False),
        (NOTHING_LOST, lambda packs, listed: listed.pop(), False),
        (LIMITS, lambda packs, listed: packs[0]["documents"][0].update(tokens=33), False),
        (LIMITS, lambda packs, listed: packs[0]["documents"][0].update(tokens=31), False),
        (LIMITS, lambda packs, listed: packs[0]["documents"][0].update(pairs=101), False),
        (LIMITS, lambda packs, listed: packs[0].update(cost=263.0), False),
        (LIMITS, lambda packs, listed: packs[0].update(documents=[], tokens=0, cost=0.0), False),
        (MIXTURE, lambda packs, listed: packs[0]["documents"][0].update(family="text"), True),
        (
            MIXTURE,
            lambda packs, listed: [d.update(family="text") for p in packs for d in p["documents"]],
            False,
        ),
        (BALANCE, lambda packs, listed: packs[0].update(cost=150.0), False),
    ],
)
def test_packs(
    tmp_path: Path, check: Check, change: Callable[[list[Row], list[Row]], object], holds: bool
) -> None:
    assert verdict(check, packs(tmp_path, change)) is holds


def test_a_family_that_is_missing_fails(tmp_path: Path) -> None:
    output = packs(tmp_path, lambda packs, listed: None, mixture={"t2i": 0.2, "text": 0.8})
    assert not verdict(MIXTURE, output)


def test_a_document_over_the_budget_may_have_a_pack_to_itself(tmp_path: Path) -> None:
    def alone(packs: list[Row], _listed: list[Row]) -> None:
        packs[0]["documents"].pop()
        packs[0]["documents"][0].update(pairs=900)
        packs[0].update(tokens=32, cost=932.0)

    assert not verdict(LIMITS, packs(tmp_path / "a", alone))
    assert verdict(LIMITS, packs(tmp_path / "b", alone, oversize="alone"))


def test_unequal_packs_pass_where_the_recipe_asks_for_less(tmp_path: Path) -> None:
    def unequal(packs: list[Row], _listed: list[Row]) -> None:
        packs[0].update(cost=150.0)

    assert verdict(BALANCE, packs(tmp_path, unequal, min_balance=0.5))


@pytest.mark.parametrize(
    ("cost", "forgotten", "holds"), [(132.0, (7,), True), (1.0, (7,), False), (132.0, (), False)]
)
def test_packs_that_lost_what_was_forgotten_may_be_unequal(
    tmp_path: Path, cost: float, forgotten: tuple[int, ...], holds: bool
) -> None:
    def forget(packs: list[Row], listed: list[Row]) -> None:
        packs[0].update(cost=132.0)
        listed[3].update(sample_id=7, reason="forgotten", cost=cost)

    repeats = {"t2i": 2, "edit": 1000}
    assert verdict(BALANCE, packs(tmp_path, forget, forgotten=forgotten, repeats=repeats)) is holds


# Models --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("psnr", "use", "passed"),
    [(15.0, 0.05, (True, True)), (14.9, 0.2, (False, True)), (float("nan"), 0.01, (False, False))],
)
def test_tokenizer(tmp_path: Path, psnr: float, use: float, passed: tuple[bool, bool]) -> None:
    settings = TokenizerSettings(
        stage_name="joint",
        stage=TokenizerStage(steps=1),
        tokenizer=TokenizerShared(preset="tiny", level="x"),
        level=Level(schedule=[1, 2]),
    )
    figures = {"psnr": psnr, "codebook_use": use}
    manifest = Manifest(
        asset="tokenizer/joint", partition=None, fingerprint="", files=(), counts=Counts(), metadata=figures
    )
    output = Published(str(tmp_path), manifest, {}, settings)
    assert (verdict(PSNR, output), verdict(CODEBOOK_USE, output)) == passed


def trained(folder: Path, rows: list[Row], weights: bytes | None = None) -> Published:
    if weights is None:
        weights = save({"w": np.ones((4, 4), np.float32)})
    packing = Packing(max_tokens=64)
    section = Stage(level="x", steps=8, learning_rate=1.0, packing=packing)
    return publish(
        folder,
        "training/s",
        lambda output: [
            output.publish_table("data/metrics.parquet", pa.Table.from_pylist(rows)),
            output.publish("model/model.safetensors", weights),
            output.publish("model/config.json", b"{}"),
        ],
        Counts(),
        TrainSettings(stage_name="s", stage=section, model=Model(preset="tiny")),
    )


def steps(change: Row | None = None) -> list[Row]:
    falling = [
        {"step": n, "loss": 9.0 - n / 10, "loss/scale_1": 8.0 - n / 10, "loss/scale_2": 7.0}
        for n in range(1, 9)
    ]
    falling[-1] |= change or {}
    return falling


def test_training_that_learns_passes(tmp_path: Path) -> None:
    output = trained(tmp_path, steps())
    assert [verdict(check, output) for check in (FINITE, COARSE_LOSS, RESUMABLE)] == [True, True, True]


@pytest.mark.parametrize("change", [{"loss": float("nan")}, {"loss/scale_2": float("inf")}, {"step": 9}])
def test_unmeasured_or_infinite_steps_fail(tmp_path: Path, change: Row) -> None:
    assert not verdict(FINITE, trained(tmp_path, steps(change)))


def test_a_rising_coarse_loss_fails(tmp_path: Path) -> None:
    rising = [row | {"loss/scale_1": 5.0 + row["step"] / 4} for row in steps()]
    assert not verdict(COARSE_LOSS, trained(tmp_path, rising))
    unmeasured = [{"step": n, "loss": 1.0} for n in range(1, 9)]
    assert not verdict(COARSE_LOSS, trained(tmp_path, unmeasured))


@pytest.mark.parametrize("cut", [-1, 20, 4])
def test_cut_off_weights_fail(tmp_path: Path, cut: int) -> None:
    whole = save({"w": np.ones((4, 4), np.float32)})
    assert not verdict(RESUMABLE, trained(tmp_path, steps(), whole[:cut]))


def test_evaluation(tmp_path: Path) -> None:
    def evaluated(name: str, samples: list[tuple[str, int]], missing: int = 0) -> Published:
        rows = [{"prompt": p, "sample": n, "path": f"data/{p}/{n}.png"} for p, n in samples]
        evaluation = Evaluation(prompts=["a", "b"], samples_per_prompt=2)
        level = Level(schedule=[1, 2])
        return publish(
            tmp_path / name,
            "evaluation/s/fixed_prompts",
            lambda output: [
                output.publish_table("data/scores.parquet", pa.Table.from_pylist(rows)),
                *(output.publish(row["path"], b"png") for row in rows[missing:]),
            ],
            Counts(),
            EvaluateSettings(evaluation=evaluation, level=level, model=Model(preset="tiny")),
        )

    whole = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert verdict(SAMPLES, evaluated("whole", whole))
    assert not verdict(SAMPLES, evaluated("short", whole[:-1]))
    assert not verdict(SAMPLES, evaluated("one", whole[:2]))
    assert not verdict(SAMPLES, evaluated("missing", whole, missing=1))


@pytest.mark.parametrize(("last", "passed"), [(1.0, True), (2.0, True), (2.1, False), (float("nan"), False)])
def test_the_semantic_encoder_learnt(tmp_path: Path, last: float, passed: bool) -> None:
    figures = {"first": {"loss": 2.0}, "last": {"loss": last}, "retrieval": 0.5, "retrieval_chance": 0.1}
    manifest = Manifest(
        asset="tokenizer/semantic",
        partition=None,
        fingerprint="",
        files=(),
        counts=Counts(),
        metadata=figures,
    )
    assert verdict(LEARNT, Published(str(tmp_path), manifest, {}, None)) is passed


@pytest.mark.parametrize(
    ("psnr", "perplexity", "passed"),
    [(24.0, 30.0, True), (23.6, 30.0, True), (23.4, 30.0, False), (25.0, 31.0, False)],
)
def test_the_larger_decoder(tmp_path: Path, psnr: float, perplexity: float, passed: bool) -> None:
    joint = {"psnr": 24.0, "codebook_use": 0.5, "perplexity": 30.0}
    decoder = {"psnr": psnr, "codebook_use": 0.5, "perplexity": perplexity}
    figures = {"joint": {"256": joint}, "decoder": {"256": decoder}}
    manifest = Manifest(
        asset="evaluation/tokenizer",
        partition=None,
        fingerprint="",
        files=(),
        counts=Counts(),
        metadata=figures,
    )
    assert verdict(NO_REGRESSION, Published(str(tmp_path), manifest, {}, None)) is passed
