import io
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from jobs.curate.duplicates import (
    colour_difference,
    cosine,
    embedding_duplicates,
    exact_duplicates,
    near_duplicates,
)
from jobs.curate.scores import Scores, measure
from jobs.recipe import Duplicates

COLOURS = 192


def picture(seed: int, side: int = 160) -> Image.Image:
    """A picture with structure at several sizes, different for every seed."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        for cells in (3, 7, 20)
    ]
    return Image.blend(Image.blend(layers[0], layers[1], 0.5), layers[2], 0.3)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def search(scores: list[Scores]) -> list[int | None]:
    settings = Duplicates()
    colours = np.stack([np.frombuffer(s.colours, np.uint8) for s in scores])
    hashes = [s.perceptual_hash for s in scores]
    return near_duplicates(hashes, colours, settings.max_distance, settings.max_colour_difference)


def test_planted_duplicates_are_found_and_nothing_else() -> None:
    originals = [measure(picture(seed)) for seed in range(60)]
    changes = [
        lambda p: jpeg(p, 60),
        lambda p: p.resize((97, 97), Image.Resampling.LANCZOS),
        lambda p: p.filter(ImageFilter.GaussianBlur(0.6)),
    ]
    planted = [measure(change(picture(seed))) for seed in range(0, 60, 4) for change in changes]
    expected = [seed for seed in range(0, 60, 4) for _ in changes]
    found = search(originals + planted)
    assert found[:60] == [None] * 60
    right = sum(match == seed for match, seed in zip(found[60:], expected, strict=True))
    assert right / len(expected) >= 0.9


def test_flat_pictures_of_other_colours_are_no_duplicates() -> None:
    discs = []
    for color in ("red", "blue", "green"):
        image = Image.new("RGB", (64, 64), "white")
        image.paste(color, (20, 20, 30, 30))
        discs.append(measure(image))
    assert search(discs) == [None, None, None]
    assert search([discs[0], discs[0]]) == [None, 0]


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    st.integers(0, 12),
    st.integers(0, 2**32),
)
def test_bands_find_what_comparing_all_finds(bases: list[int], distance: int, seed: int) -> None:
    rng = random.Random(seed)
    hashes = [base ^ sum(1 << bit for bit in rng.sample(range(64), rng.randint(0, 15))) for base in bases * 4]
    colours = np.zeros((len(hashes), COLOURS), np.uint8)
    expected: list[int | None] = []
    for number, value in enumerate(hashes):
        like = (
            n for n in range(number) if expected[n] is None and (value ^ hashes[n]).bit_count() <= distance
        )
        expected.append(next(like, None))
    assert near_duplicates(hashes, colours, distance, 0) == expected


def test_a_chain_of_small_changes_does_not_join_its_ends() -> None:
    colours = np.zeros((3, COLOURS), np.uint8)
    assert near_duplicates([0b0, 0b11, 0b1111], colours, 2, 0) == [None, 0, None]


def test_colours_beyond_the_limit_keep_pictures_apart() -> None:
    colours = np.zeros((2, COLOURS), np.uint8)
    colours[1, :3] = 30
    assert near_duplicates([5, 5], colours, 2, 29.9) == [None, None]
    assert near_duplicates([5, 5], colours, 2, 30) == [None, 0]
    assert colour_difference(colours[0], colours).tolist() == [0, 30]


@given(st.lists(st.sampled_from("abc")))
def test_exact_duplicates_point_to_the_first(checksums: list[str]) -> None:
    found = exact_duplicates(checksums)
    for number, first in enumerate(found):
        assert (checksums.index(checksums[number]) == number) == (first is None)
        assert first is None or checksums.index(checksums[number]) == first


@pytest.mark.parametrize("distance", [0, 1, 16])
def test_every_bit_of_a_hash_counts(distance: int) -> None:
    colours = np.zeros((2, COLOURS), np.uint8)
    for bits in pairwise(range(0, 64, distance + 1)):
        far = sum(1 << bit for bit in range(bits[0], bits[1]))
        assert near_duplicates([0, far], colours, distance, 0)[1] is None


# Embeddings ----------------------------------------------------------------------------------

Halves = np.ndarray[tuple[int, ...], np.dtype[np.float16]]


def vectors(seed: int, count: int, groups: int, spread: float) -> Halves:
    """Directions around a few middles."""
    rng = np.random.default_rng(seed)
    middles = rng.normal(size=(groups, 16))
    return (middles[rng.integers(0, groups, count)] + spread * rng.normal(size=(count, 16))).astype(
        np.float16
    )


def compared_all(rows: Halves, limit: float) -> list[int | None]:
    found: list[int | None] = []
    for number, row in enumerate(rows):
        earlier = (n for n in range(number) if found[n] is None and cosine(row, rows[n]) >= limit)
        found.append(next(earlier, None))
    return found


@given(
    st.integers(0, 2**32),
    st.integers(0, 40),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.sampled_from([0.6, 0.9, 0.99, 1.0]),
    st.integers(1, 12),
)
def test_blocks_find_what_comparing_all_embeddings_finds(
    seed: int, count: int, groups: int, spread: float, limit: float, block: int
) -> None:
    rows = vectors(seed, count, groups, spread)
    found = embedding_duplicates(rows, limit, block)
    assert [match[0] if match else None for match in found] == compared_all(rows, limit)
    assert all(match[1] >= limit for match in found if match)


def test_a_cosine_at_the_very_limit_counts_whatever_the_blocks() -> None:
    """Sums of single floats lie on either side of it."""
    rows = vectors(3, 30, 3, 0.2)
    limit = cosine(rows[0], rows[next(n for n in range(1, 30) if cosine(rows[0], rows[n]) > 0.5)])
    found = [embedding_duplicates(rows, limit, block) for block in (1, 7, 64)]
    assert found[0] == found[1] == found[2]
    assert any(match and match[1] == limit for match in found[0])


def test_a_chain_of_likenesses_does_not_join_its_ends() -> None:
    angles = np.array([0.0, 0.3, 0.6])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    assert [m and m[0] for m in embedding_duplicates(rows, float(np.cos(0.35)))] == [None, 0, None]


def test_vectors_without_length_are_like_none() -> None:
    rows = np.zeros((3, 4), np.float16)
    assert embedding_duplicates(rows, 0.1) == [None, None, None]
    assert embedding_duplicates(np.empty((0, 0), np.float16), 0.1) == []


def test_a_cosine_is_exact_to_the_last_bit_in_any_order() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 768)).astype(np.float16)
    order = rng.permutation(768)
    assert cosine(one, other) == cosine(one[order], other[order]) == cosine(other, one)
    expected = np.dot(one.astype(np.longdouble), other.astype(np.longdouble))
    expected /= np.linalg.norm(one.astype(np.longdouble)) * np.linalg.norm(other.astype(np.longdouble))
    assert cosine(one, other) == pytest.approx(float(expected), rel=1e-12)
