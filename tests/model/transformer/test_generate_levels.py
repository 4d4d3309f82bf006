"""Every aspect ratio of every level is written: the 41 rows of Table 14 at 256, 512 and 1024 pixels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from documents import CODES, TEXTS, make_model, text
from torch import Tensor

from model.scales import table14
from model.transformer.generate import generate
from model.transformer.layout import ImagePart, TextPart, pack
from model.transformer.model import NextScaleTransformer
from model.transformer.sampling import SamplingOptions
from model.transformer.session import Session
from model.transformer.writer import Request

LEVELS = {256: 12, 512: 16, 1024: 18}
"""Scales of each level."""
WIDEST, SQUARE, TALLEST = 0, 20, 40
"""Rows of the table: 1:4, 1:1 and 4:1."""


def printed_rows(scales: int) -> list[list[tuple[int, int]]]:
    """The first grids of each row of the table as the paper prints it."""
    table = Path(__file__).parents[1] / "table14.txt"
    return [
        [(int(height), int(width)) for height, width in re.findall(r"\((\d+),(\d+)\)", line)[:scales]]
        for line in table.read_text(encoding="utf-8").splitlines()
    ]


@pytest.fixture(scope="module")
def model() -> NextScaleTransformer:
    """One layer with two heads of 8: what an image costs is nearly all attention."""
    return make_model(layers=1, hidden=16, heads=2, kv_heads=1, intermediate=16)


@pytest.mark.parametrize("level", LEVELS)
def test_an_image_of_every_row_has_the_codes_of_its_grids(model: NextScaleTransformer, level: int) -> None:
    """One request for each row, in one call."""
    scales = LEVELS[level]
    requests = [Request(seed=n, context=(text(3),), schedule=row) for n, row in enumerate(table14(scales))]
    parts = [part for parts in generate(model, requests, SamplingOptions(guidance=1.0)) for part in parts]
    rows = printed_rows(scales)
    assert len(parts) == len(rows) == 41
    for part, grids in zip(parts, rows, strict=True):
        assert isinstance(part, ImagePart)
        assert len(part.targets) == sum(height * width for height, width in grids)
        assert (part.schedule.height, part.schedule.width) == (16 * grids[-1][0], 16 * grids[-1][1])
        assert set(part.targets) == set(range(CODES))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("row", [WIDEST, SQUARE, TALLEST])
@torch.no_grad()
def test_cached_logits_are_those_of_the_full_pass(model: NextScaleTransformer, level: int, row: int) -> None:
    """Over all scales of random codes, so the likeliest codes are the same but for ties.

    Control: after another prompt the logits of every scale are others, those of the last, too.
    """
    schedule = table14(LEVELS[level])[row]
    codes = torch.randint(CODES, (1, schedule.tokens), generator=torch.Generator().manual_seed(row))
    session = Session(model, 1, schedule.tokens + 3)
    session.read([0], [[text(3)]])
    found = [
        session.scale_logits([0], codes[:, :start], schedule, scale)[0]
        for scale, start in enumerate(schedule.starts, start=1)
    ]
    part = ImagePart(schedule, codes[0].numpy(), codes[0].numpy())
    torch.testing.assert_close(torch.cat(found), full_pass(model, text(3), part), atol=1e-5, rtol=1e-5)
    others = full_pass(model, text(3, seed=1), part).split(schedule.lengths)
    assert min(float((a - b).abs().max()) for a, b in zip(found, others, strict=True)) > 1e-3


def full_pass(model: NextScaleTransformer, prompt: TextPart, part: ImagePart) -> Tensor:
    """Logits [N, V] of an image's codes after a prompt, without a cache."""
    hidden_TE = model.hidden(pack([[prompt, part]], model.config))[-part.schedule.tokens - 1 : -1]
    return model.logits(hidden_TE)[:, TEXTS : TEXTS + CODES]
