"""Albums: one shape appears again, nothing else does, and the pixels bear it out."""

from __future__ import annotations

import hashlib
import io
import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jobs.recipe.sources import SceneAlbumsSource
from jobs.scenes.albums import MAX_PICTURES, AlbumTruth, album_scene, make_album_sample, sample_album
from jobs.scenes.truth import Truth
from jobs.scenes.verify import verify
from jobs.sources.read import read_pictures
from jobs.sources.scene_albums import list_shards

seeds = st.integers(0, 2**31)
lengths = st.integers(2, MAX_PICTURES)


@settings(max_examples=30)
@given(seeds, st.integers(0, 10_000), lengths)
def test_only_the_subject_appears_in_more_than_one_picture(seed: int, number: int, length: int) -> None:
    scenes = [album_scene(seed, number * length + n, length)[0] for n in range(length)]
    album = sample_album(seed, number, length)
    looks = Counter(look for s in scenes for look in {(x.kind, x.color) for x in s.shapes})
    assert looks.pop(album.look) == length - length // 3
    assert set(looks.values()) <= {1}
    subjects = [x for s in scenes for x in s.shapes if (x.kind, x.color) == album.look]
    assert {x.size for x in subjects} == {album.size}


def test_the_subject_stands_elsewhere_among_others() -> None:
    moved = alone = pairs = 0
    for number in range(60):
        scenes = [album_scene(0, number * 5 + n, 5)[0] for n in range(5)]
        look = sample_album(0, number, 5).look
        places = [next(((x.x, x.y) for x in s.shapes if (x.kind, x.color) == look), None) for s in scenes]
        seen = [place for place in places if place]
        pairs += len(list(combinations(seen, 2)))
        moved += sum(abs(a[0] - b[0]) + abs(a[1] - b[1]) > 0.1 for a, b in combinations(seen, 2))
        alone += sum(len(s.shapes) == 1 for s, place in zip(scenes, places, strict=True) if place)
    assert moved / pairs > 0.7
    assert alone <= 60, "at most one picture of an album shows the subject by itself"


def test_the_pixels_bear_the_truth_out() -> None:
    right = total = 0
    for index in range(150):
        sample = make_album_sample(1, index, 5, 64)
        truth = AlbumTruth.model_validate_json(sample.truth)
        claim = Truth(tag="subject", include=(truth.subject,))
        seen = verify(Image.open(io.BytesIO(sample.png)), claim).passed
        right += seen is truth.shows_subject
        total += 1
    assert right / total >= 0.98


def test_the_same_seed_and_index_give_the_same_picture_whatever_else_is_drawn() -> None:
    random.seed(1)
    one = make_album_sample(3, 7, 5, 64)
    random.seed(2)
    make_album_sample(3, 6, 5, 64)
    assert make_album_sample(3, 7, 5, 64) == one
    assert make_album_sample(4, 7, 5, 64) != one


def test_known_albums_never_change() -> None:
    told = "\n".join(f"{make_album_sample(0, n, 5, 32).truth}" for n in range(60))
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == "e2ea1b7bb19df496"


@pytest.mark.parametrize("pictures", [1, MAX_PICTURES + 1])
def test_other_lengths_are_refused(pictures: int) -> None:
    with pytest.raises(ValueError, match="2 to 13 pictures"):
        sample_album(0, 0, pictures)


def test_a_source_never_splits_an_album() -> None:
    source = SceneAlbumsSource(count=43, album_pictures=5, shard_records=18)
    shards = list_shards(source, ())
    assert [shard.records for shard in shards] == [15, 15, 13]
    records = [record for shard in shards for record in read_pictures(source, shard, 10**6)]
    assert len({record.source for record in records}) == 43
    groups = Counter(record.group for record in records)
    assert sorted(groups.values()) == [3, *[5] * 8]
    assert all(AlbumTruth.model_validate_json(str(record.truth)) for record in records)
    one = records[20].source
    (again,) = read_pictures(source, shards[1], 10**6, frozenset({one}))
    assert again == records[20]
