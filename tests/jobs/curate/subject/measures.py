"""How right decisions are, told for people and held to a limit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pytest

K = TypeVar("K", bound=Hashable)

LEAST = 0.95


@dataclass(frozen=True)
class Rates:
    """Of one outcome: the share of what was said that is true, and of what is true that was said."""

    precision: float
    recall: float

    @property
    def good(self) -> bool:
        return min(self.precision, self.recall) >= LEAST


def rates(truth: Mapping[K, str], found: Mapping[K, str], outcome: str) -> Rates:
    """The rates of one outcome, over things that have one each."""
    assert truth.keys() == found.keys()
    true = {key for key, value in truth.items() if value == outcome}
    said = {key for key, value in found.items() if value == outcome}
    return Rates(len(true & said) / max(1, len(said)), len(true & said) / max(1, len(true)))


def show(capsys: pytest.CaptureFixture[str], what: str, measured: Mapping[str, Rates]) -> None:
    """Print rates, whatever becomes of the test."""
    with capsys.disabled():
        for outcome, one in measured.items():
            print(f"\n{what}, {outcome}: precision {one.precision:.3f}, recall {one.recall:.3f}", end="")
