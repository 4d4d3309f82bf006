"""Pictures into codes and documents into rows: no batch, no order and no neighbour changes a code."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from infra.errors import UserError
from jobs.extract import ahead as ahead_module
from jobs.extract.ahead import Load, ahead
from jobs.extract.codes import COMPUTE_TOKENS, Codes, PictureEncoder, batch_size, bucketed, to_pixels
from jobs.extract.encode import Encoder
from jobs.extract.figures import changed_by_scale
from jobs.extract.prepare import Picture, Prepared, prepare
from jobs.schemas import from_row
from model.scales import ScaleSchedule, nearest, table14
from model.text import load_text_tokenizer
from model.tokenizer import Correction, ImageTokenizer, TokenizerConfig
from model.transformer.cost import allowed_pairs
from model.transformer.layout import ImagePart, Part, TextPart, position_count
from tests.jobs.extract.curated import Pair, damaged, document, of_family, picture

LEVELS = table14(4)
SHAPES = ((64, 64), (120, 64), (64, 120), (64, 64), (90, 64), (64, 64))


@pytest.fixture(scope="module")
def tokenizer() -> ImageTokenizer:
    return ImageTokenizer(TokenizerConfig.preset("tiny")).eval()


def encoder(tokenizer: ImageTokenizer, at_once: int = 1) -> Encoder:
    pictures = PictureEncoder(tokenizer, Correction(top_k=8), "cpu", lambda _: at_once)
    return Encoder(load_text_tokenizer(), "shifted", pictures, LEVELS, "level", seed=3)


def documents() -> list[Pair]:
    """Documents of one to three pictures, of several shapes."""
    shown = [picture(place, *shape) for place, shape in enumerate(SHAPES)]
    return [
        document("t2i", "one", shown[0]),
        document("edit", shown[1], "two", shown[2], learnt=[2]),
        document("text", "no picture"),
        document("video", shown[3], "three", shown[4], shown[5]),
        of_family("t2i", 7),
    ]


def prepared(pairs: list[Pair]) -> list[Picture]:
    found = [prepare(*pair, LEVELS) for pair in pairs]
    return [one for each in found if isinstance(each, Prepared) for one in each.pictures]


def by_id(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {row["sample_id"]: row for row in rows}


def test_a_row_says_what_its_document_takes_in_a_pack(tokenizer: ImageTokenizer) -> None:
    rows = by_id(encoder(tokenizer).encode(documents()).rows)
    schedules = {schedule.name: schedule for schedule in LEVELS}
    for source, media in documents():
        row = rows[source.sample_id]
        found = from_row(row)
        assert [segment.kind for segment in found.segments] == [segment.kind for segment in source.segments]
        parts: list[Part] = [
            TextPart(s.ids, s.loss)
            if s.kind == "text"
            else ImagePart(schedules[s.schedule], s.inputs, s.targets, s.loss)
            for s in found.segments
        ]
        assert row["tokens"] == position_count(parts, "shifted")
        assert row["pairs"] == allowed_pairs(parts, "shifted")
        shapes = [(s.width, s.height) for s in source.segments if s.kind == "image"]
        assert [s.schedule for s in found.segments if s.kind == "image"] == [
            nearest(LEVELS, *shape).name for shape in shapes
        ]
        assert len(shapes) == len(media)


def test_neither_the_order_nor_the_neighbours_change_a_row(tokenizer: ImageTokenizer) -> None:
    whole = by_id(encoder(tokenizer).encode(documents()).rows)
    assert by_id(encoder(tokenizer).encode(documents()[::-1]).rows) == whole
    for pair in documents():
        (alone,) = encoder(tokenizer).encode([pair], prefetch=2).rows
        assert alone == whole[pair[0].sample_id]


@pytest.mark.parametrize("at_once", [2, 3, 7])
def test_batches_of_a_fixed_shape_give_the_codes_of_single_pictures(
    tokenizer: ImageTokenizer, at_once: int
) -> None:
    """Rounding differs between shapes of batches, but no code of these pictures is that near to another."""
    assert encoder(tokenizer, at_once).encode(documents()).rows == encoder(tokenizer).encode(documents()).rows


def test_what_fills_a_batch_up_is_without_influence(tokenizer: ImageTokenizer) -> None:
    pictures = [one for one in prepared(documents()) if one.schedule.height == one.schedule.width]
    assert len(pictures) == 4
    together = PictureEncoder(tokenizer, Correction(top_k=8), "cpu", lambda _: 4)

    def codes(several: list[Picture], seeds: list[int]) -> list[Codes]:
        found = [one for one, _ in together.encode(several, seeds)]
        return [one for one in found if isinstance(one, Codes)]

    full = codes(pictures, [0, 1, 2, 3])
    alone = codes(pictures[:1], [0])
    assert len(alone) == 1
    assert same(alone[0], full[0])
    assert not same(alone[0], full[1])
    assert not same(alone[0], codes(pictures[:1], [1])[0])


def same(one: Codes, other: Codes) -> bool:
    return np.array_equal(one.inputs, other.inputs) and np.array_equal(one.targets, other.targets)


def test_pictures_of_one_document_are_sampled_apart(tokenizer: ImageTokenizer) -> None:
    shown = picture(1)
    (row,) = encoder(tokenizer).encode([document("video", "one", shown, "two", shown)]).rows
    _, one, _, other = from_row(row).segments
    assert one.schedule == other.schedule
    assert not np.array_equal(one.inputs, other.inputs)


def test_one_damaged_picture_of_two_rejects_its_document(tokenizer: ImageTokenizer) -> None:
    edits = [of_family("edit", place) for place in range(3)]
    piece = encoder(tokenizer).encode([damaged(edits[0]), *edits[1:]])
    assert sorted(by_id(piece.rows)) == sorted(edit.sample_id for edit, _ in edits[1:])
    (refused,) = piece.refused
    assert (refused.sample_id, refused.status, refused.reason) == (
        edits[0][0].sample_id,
        "rejected",
        "checksum",
    )


class Broken(ImageTokenizer):
    """Fails on batches with a picture whose first pixel is white."""

    def encode_corrected(self, images_BCHW: Any, *rest: Any) -> Any:
        if bool((images_BCHW[:, 0, 0, 0] == 1).any()):
            raise RuntimeError("white\nis too much")
        return super().encode_corrected(images_BCHW, *rest)


def test_a_failure_in_a_batch_is_that_of_one_document() -> None:
    white = document("edit", picture(1), "white", _white(), learnt=[2])
    pairs = [*documents(), white]
    broken = Broken(TokenizerConfig.preset("tiny")).eval()
    piece = encoder(broken, 3).encode(pairs)
    sound = ImageTokenizer(TokenizerConfig.preset("tiny")).eval()
    assert piece.rows == encoder(sound, 3).encode(documents()).rows
    (refused,) = piece.refused
    assert (refused.sample_id, refused.status, refused.reason) == (
        white[0].sample_id,
        "errored",
        "unexpected_error",
    )
    assert (refused.detail, refused.attempts) == ("RuntimeError: white is too much", 2)


class Crowded(ImageTokenizer):
    """Where there is too little memory."""

    def encode_corrected(self, *_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_gpu_without_memory_ends_the_run_and_blames_no_document(at_once: int) -> None:
    crowded = encoder(Crowded(TokenizerConfig.preset("tiny")), at_once)
    with pytest.raises(UserError, match=rf"tokens\.gpus_per_worker: .* {at_once} pictures at once"):
        crowded.encode(documents())


def _white() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(buffer, "PNG")
    return buffer.getvalue()


def test_changes_are_counted_by_scale(tokenizer: ImageTokenizer) -> None:
    rows = encoder(tokenizer).encode(documents()).rows
    schedules = {schedule.name: schedule for schedule in LEVELS}
    totals = np.zeros((4, 2), int)
    for row in rows:
        for segment in from_row(row).segments:
            if segment.kind == "image" and segment.loss:
                schedule = schedules[segment.schedule]
                changed = np.split(segment.inputs != segment.targets, schedule.starts[1:])
                totals += [[part.sum(), len(part)] for part in changed]
    assert changed_by_scale(rows, LEVELS) == totals.tolist()


@pytest.mark.parametrize("at_once", [1, 3])
def test_what_is_only_read_is_not_corrected(tokenizer: ImageTokenizer, at_once: int) -> None:
    pair = document("edit", picture(1), "change it", picture(2), learnt=[2])
    (row,) = encoder(tokenizer, at_once).encode([pair]).rows
    read, _, drawn = from_row(row).segments
    (first, second) = prepared([pair])
    plain = [
        tokenizer.encode(to_pixels([one.pixels_HW3], "cpu"), one.schedule)[0].numpy()
        for one in (first, second)
    ]
    assert np.array_equal(read.inputs, read.targets)
    assert np.array_equal(read.inputs, plain[0])
    assert not np.array_equal(drawn.inputs, drawn.targets)
    assert not np.array_equal(drawn.targets, plain[1])


@given(st.lists(st.integers(0, 3)), st.integers(1, 5))
def test_buckets_lose_nothing_and_hold_one_schedule(places: list[int], size: int) -> None:
    pictures = [
        Picture(LEVELS[place // 2], np.zeros((0, 0, 3), np.uint8), place % 2 == 0) for place in places
    ]
    batches = list(bucketed(pictures, lambda _: size))
    assert sorted(id(one) for batch in batches for one in batch) == sorted(map(id, pictures))
    kinds = [{(one.schedule, one.predicted) for one in batch} for batch in batches]
    assert all(len(kind) == 1 and len(batch) <= size for kind, batch in zip(kinds, batches, strict=True))
    short = [batch for batch in batches if len(batch) < size]
    assert len(short) <= len(set(places))


def test_compute_batches_are_fixed_by_device_and_schedule() -> None:
    def largest(level: int, device: Any) -> ScaleSchedule:
        return max(table14(level), key=lambda schedule: batch_size(device)(schedule))

    assert {batch_size("cpu")(largest(level, "cpu")) for level in (4, 12, 18)} == {1}
    for level in (12, 16, 18):
        schedule = largest(level, "cuda")
        assert batch_size("cuda")(schedule) * schedule.tokens <= COMPUTE_TOKENS["cuda"]
    assert batch_size("cuda")(largest(18, "cuda")) >= 3


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 100)), max_size=20),
    st.integers(0, 6),
    st.integers(0, 2**16),
)
def test_work_ahead_keeps_the_order_and_its_bounds(
    items: list[tuple[int, int]], most: int, seed: int
) -> None:
    lock, held, peak = threading.Lock(), [0], [0]
    naps = np.random.default_rng(seed).random(len(items) + 1) / 2000

    def source() -> Iterator[tuple[int, int, int]]:
        for number, (pictures, size) in enumerate(items):
            yield number, pictures, size

    def work(item: tuple[int, int, int]) -> tuple[int, int, int]:
        with lock:
            held[0] += item[1]
            peak[0] = max(peak[0], held[0])
        time.sleep(naps[item[0]])
        return item

    found = []
    for item in ahead(source(), work, lambda item: Load(item[1], item[2]), most):
        found.append(item[0])
        with lock:
            held[0] -= item[1]
    assert found == list(range(len(items)))
    largest = max((pictures for pictures, _ in items), default=0)
    assert peak[0] <= max(most, largest)


def test_work_ahead_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_module, "MOST_BYTES", 10)
    begun: list[int] = []
    results = ahead(range(9), begun.append, lambda _: Load(1, 5), 100)
    next(results)
    assert len(begun) <= 3
    list(results)
    assert sorted(begun) == list(range(9))
