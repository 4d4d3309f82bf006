"""The learning rate: up to its peak, down a cosine, never negative."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.train.schedule import learning_rate


@given(st.integers(1, 500), st.integers(0, 600), st.floats(0, 1))
def test_it_rises_then_falls_between_its_bounds(steps: int, warmup: int, final: float) -> None:
    rates = [learning_rate(step, steps, 1.0, warmup, final) for step in range(steps)]
    up, down = rates[:warmup], rates[warmup:]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert all(0 < rate <= 1 for rate in up)
    assert all(final - 1e-9 <= rate <= 1 for rate in down)


def test_known_points() -> None:
    rates = [learning_rate(step, 105, 2e-3, 4, 0.1) for step in (0, 3, 4, 54, 104)]
    assert rates == pytest.approx([5e-4, 2e-3, 2e-3, 1.1e-3, 2e-4])
