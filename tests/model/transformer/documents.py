"""Small configurations and documents for the tests of the transformer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import torch
from hypothesis import strategies as st

from model.scales import ScaleSchedule, square
from model.transformer.config import ContextMode, TransformerConfig
from model.transformer.layout import ImagePart, Part, TextPart
from model.transformer.model import NextScaleTransformer

SMALL = square([1, 2, 3], cell=4)
WIDE = ScaleSchedule("wide", ((1, 1), (1, 2), (2, 3), (2, 4)), cell=4)
SINGLE = square([1], cell=4)
TEXTS, CODES = 40, 24
CONFIG = TransformerConfig(
    hidden=48,
    layers=2,
    heads=6,
    kv_heads=2,
    intermediate=64,
    text_vocabulary=TEXTS,
    codebook_size=CODES,
    codebook_width=6,
    end_id=0,
)


MODES = [replace(CONFIG, context_mode=mode) for mode in get_args(ContextMode)]
"""Configurations that differ in how images are fed that are read and not predicted."""


def make_model(seed: int = 0, **changes: Any) -> NextScaleTransformer:
    """A model with a codebook and with weights large enough that mistakes show."""
    torch.manual_seed(seed)
    model = NextScaleTransformer(replace(CONFIG, **changes))
    model.set_codebook(torch.nn.functional.normalize(torch.randn(CODES, 6), dim=1))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
    return model.eval()


def text(count: int, seed: int = 0, loss: bool = True) -> TextPart:
    return TextPart(np.random.default_rng(seed).integers(0, TEXTS, count), loss)


def image(schedule: ScaleSchedule = SMALL, seed: int = 0, loss: bool = True) -> ImagePart:
    inputs, targets = np.random.default_rng(seed).integers(0, CODES, (2, schedule.tokens))
    return ImagePart(schedule, inputs, targets, loss)


def parts() -> st.SearchStrategy[Part]:
    seeds, losses = st.integers(0, 99), st.booleans()
    schedules = st.sampled_from([SMALL, WIDE, SINGLE])
    return st.one_of(
        st.builds(text, st.integers(0, 5), seeds, losses), st.builds(image, schedules, seeds, losses)
    )


def documents() -> st.SearchStrategy[list[list[Part]]]:
    """One or more documents, at least one of them with a position."""
    some = st.lists(st.lists(parts(), min_size=1, max_size=4), min_size=1, max_size=4)
    return some.filter(lambda found: any(not isinstance(p, TextPart) or len(p.ids) for d in found for p in d))
