"""What a source says of a pair, what is told to draw, and how pairs are cut into units."""

from __future__ import annotations

import io
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jobs.curate.captions import normalise
from jobs.curate.subject.documents import instruction
from jobs.curate.subject.own import Told, own_verdict, sees
from jobs.curate.subject.units import plan_units
from jobs.curate.subject.words import SubjectWords
from jobs.images import DecodeError
from jobs.recipe.curation.subject import WORDS, SubjectCuration
from jobs.scenes.albums import AlbumTruth, make_album_sample
from jobs.sources.shards import Shard

ENGLISH = SubjectWords(WORDS)


def scene(index: int, truth: int | None = None) -> Told:
    """A picture of an album of two, with its own truth or that of another picture."""
    told = make_album_sample(0, index if truth is None else truth, 2, 64)
    return Told(make_album_sample(0, index, 2, 64).png, 64 * 64, told.caption, told.truth, "album")


def captioned(caption: str | None, group: str = "page") -> Told:
    return Told(b"", 0, caption, None, group)


def test_a_scene_is_believed_only_where_its_pixels_bear_it_out() -> None:
    honest = own_verdict(scene(0), scene(1), ENGLISH)
    assert (honest.verdict.shared, honest.verdict.kind, honest.same) == (True, "object", True)
    subject = AlbumTruth.model_validate_json(str(scene(0).truth)).subject
    lies = [n for n in range(2, 40) if not sees(Image.open(io.BytesIO(scene(n).image)), subject)]
    assert len(lies) > 20
    for number in lies:
        own = own_verdict(scene(0), scene(number, truth=1), ENGLISH)
        assert (own.verdict.shared, own.reason) == (False, "subject_not_seen")
    assert own_verdict(scene(0), scene(2), ENGLISH).reason == "no_shared_subject"


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("A polar bear.", "Two BEARS, asleep", ("animal", "bear")),
        ("a dog with a ball", "the ball of a girl", ("object", "ball")),
        ("a ball for the girl", "a girl and her ball", ("human", "girl")),
        ("boxes", "a box", ("object", "box")),
        ("two buses", "a bus", ("object", "bus")),
        ("a tomato", "ripe tomatoes", ("object", "tomato")),
        ("vases and shoes", "a vase", ("object", "vase")),
        ("old shoes", "one shoe", ("object", "shoe")),
        ("glasses", "a glass", ("object", "glass")),
        ("red dresses", "a dress", ("object", "dress")),
        ("she cares", "a car", None),
        ("two capes", "a cap", None),
        ("a cat", "a catalogue", None),
        ("a large thing", "a large house", None),
        ("", "", None),
    ],
)
def test_captions_share_a_subject_where_both_name_it(
    one: str, other: str, shared: tuple[str, str] | None
) -> None:
    found = ENGLISH(one, other)
    assert (found and (found.kind, found.subject)) == shared


def test_pictures_are_decoded_up_to_the_size_that_was_scored() -> None:
    larger = replace(scene(1), pixels=64 * 64 - 1)
    with pytest.raises(DecodeError, match="64x64 pixels, the limit is 4095"):
        own_verdict(scene(0), larger, ENGLISH)


def test_a_picture_without_a_caption_is_told_by_its_folder() -> None:
    own = own_verdict(captioned(None, "s3://data/backpack"), captioned("my backpack", "x"), ENGLISH)
    assert (own.verdict.subject, own.same) == ("backpack", False)
    assert own_verdict(captioned(None, ""), captioned("a dog"), ENGLISH).reason == "no_caption"


@given(
    st.text(max_size=40), st.sampled_from(["same", "alike", "style"]), st.none() | st.text(), st.integers(0)
)
def test_instructions_are_one_line_and_name_subject_and_caption(
    subject: str, likeness: str, caption: str | None, lot: int
) -> None:
    text = instruction(f"A red {subject}", likeness, caption, lot)  # type: ignore[arg-type]
    assert "red" in text
    assert text == " ".join(text.split())
    assert normalise(subject) in text
    assert normalise(caption or "") in text


def test_wordings_differ_by_lot_and_say_no_more_than_is_known() -> None:
    told = {kind: {instruction("a dog", kind, "It runs", n) for n in range(12)} for kind in ("same", "alike")}
    assert min(map(len, told.values())) > 1
    assert all(
        "dog" in text and "a dog" not in text and "It runs." in text
        for texts in told.values()
        for text in texts
    )
    assert not any("same" in text for text in told["alike"])


PICTURES = [
    {
        "sample_id": n,
        "source": f"s{n:02d}",
        "shard": f"{n // 6:06d}",
        "group": f"{n // 4}",
        "bytes": 10 + n,
        **dict.fromkeys(("caption", "caption_problem", "truth", "sha256", "format"), ""),
        **dict.fromkeys(("width", "height"), 1),
    }
    for n in range(24)
]
PAIRS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 3)).filter(lambda t: t[1] != t[2]),
    unique=True,
    max_size=30,
)


@given(PAIRS, st.integers(1, 200))
def test_units_hold_every_pair_once_with_its_pictures_within_the_limit(
    members: list[tuple[int, int, int]], limit: int
) -> None:
    pairs = [
        {
            "source": f"{group}/{a}/{b}",
            "group": str(group),
            "reference": f"s{4 * group + a:02d}",
            "target": f"s{4 * group + b:02d}",
        }
        for group, a, b in members
    ]
    shards = [Shard(f"{n:06d}", ()) for n in range(4)]
    units = plan_units(pairs, pa.Table.from_pylist(PICTURES), shards, limit)
    assert sorted(row["source"] for unit in units for row in unit.payload.pairs) == sorted(
        row["source"] for row in pairs
    )
    assert len({unit.name for unit in units}) == len(units)
    for unit in units:
        part = unit.payload
        needed = {row[side] for row in part.pairs for side in ("reference", "target")}
        assert part.pictures.keys() == needed
        assert {shard.name for shard in part.shards} == {row["shard"] for row in part.pictures.values()}
        assert len(part.pairs) == 1 or sum(row["bytes"] for row in part.pictures.values()) <= limit


def test_limits_that_no_pair_can_meet_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min_similarity is not below max_similarity: 0\.9 and 0\.8"):
        SubjectCuration(min_similarity=0.9, max_similarity=0.8)
