"""Pictures at random access from tars, cropped to the schedule of their shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infra.errors import UserError
from jobs.curated import iter_documents
from jobs.images import decode
from jobs.tokenizer.pictures import Pictures, find_pictures
from model.scales import square, table14

SQUARE = (square([1, 2], 16),)


def test_every_curated_picture_is_found_with_its_bytes(drop: str) -> None:
    refs = find_pictures([drop], SQUARE)
    media = {member: data for _, found in iter_documents(drop) for member, data in found.items()}
    assert [ref.member for ref in refs] == sorted(media, key=lambda m: int(m.split(".")[0], 16))
    pictures = Pictures(refs)
    for number in (0, 17, 39):
        pixels = np.asarray(decode(media[refs[number].member]), np.float32)
        expected = torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)
        torch.testing.assert_close(pictures.batch([number])[0], expected)


def test_the_order_of_drops_does_not_matter(drop: str, write_drop: Any) -> None:
    other = write_drop(range(40, 46))
    assert find_pictures([drop, other], SQUARE) == find_pictures([other, drop], SQUARE)


def test_shapes_choose_their_schedule(write_drop: Any) -> None:
    wide = write_drop(range(3), (128, 64))
    [ref, *_] = find_pictures([wide], table14(4, 16))
    assert ref.schedule.width > ref.schedule.height
    batch = Pictures([ref]).batch([0])
    assert batch.shape == (1, 3, ref.schedule.height, ref.schedule.width)


@pytest.mark.parametrize("cache_bytes", [0, 32 * 32 * 3 * 2])
def test_a_full_cache_changes_nothing(drop: str, cache_bytes: int) -> None:
    refs = find_pictures([drop], SQUARE)
    small, large = Pictures(refs, cache_bytes), Pictures(refs)
    for numbers in ([0, 1, 2], [2, 3], [0, 1]):
        assert torch.equal(small.batch(numbers), large.batch(numbers))


def test_the_limit_of_a_picture_is_the_size_that_its_document_says(write_drop: Any) -> None:
    """Curation may have accepted more than the limit where a recipe says nothing."""
    refs = find_pictures([write_drop(range(60, 62), (40, 24))], SQUARE)
    assert {ref.pixels for ref in refs} == {40 * 24}
    with pytest.raises(UserError, match="too_many_pixels"):
        Pictures([replace(refs[0], pixels=40 * 24 - 1)]).batch([0])


def test_a_picture_that_changed_after_curation_is_one_line(write_drop: Any) -> None:
    folder = write_drop(range(50, 54))
    refs = find_pictures([folder], SQUARE)
    tar = Path(refs[0].tar)
    data = bytearray(tar.read_bytes())
    data[refs[0].offset : refs[0].offset + refs[0].bytes] = bytes(refs[0].bytes)
    tar.write_bytes(data)
    with pytest.raises(UserError, match="cannot be decoded: not_an_image"):
        Pictures(refs).batch([0])
