"""What became of every record: kept, rejected for a reason, or errored. Nothing is lost.

A catalogue is a Parquet table with one row per *input* record. Rejected records keep their row and
their scores, so that users tune thresholds by querying the rejects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, model_validator

Status = Literal["kept", "rejected", "errored"]

BASE_FIELDS = (
    pa.field("sample_id", pa.uint64(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("status", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("detail", pa.string()),
)
"""Columns every catalogue has. `source` is `uri#member`: where the record came from, unique."""


class Counts(BaseModel):
    """How many records went in and what became of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    total: int = 0
    kept: int = 0
    rejected: dict[str, int] = {}
    errored: int = 0

    @model_validator(mode="after")
    def _conserved(self) -> Self:
        if self.total != self.kept + sum(self.rejected.values()) + self.errored:
            raise ValueError(f"records are lost or doubled: {self.describe()}")
        return self

    def describe(self) -> str:
        """The equation, for tables and errors."""
        rejected = sum(self.rejected.values())
        return f"{self.total} in = {self.kept} kept + {rejected} rejected + {self.errored} errored"

    def __add__(self, other: Counts) -> Counts:
        reasons = sorted(self.rejected.keys() | other.rejected.keys())
        return Counts(
            total=self.total + other.total,
            kept=self.kept + other.kept,
            rejected={r: self.rejected.get(r, 0) + other.rejected.get(r, 0) for r in reasons},
            errored=self.errored + other.errored,
        )


def count(total: int, outcomes: Iterable[tuple[str, str | None]]) -> Counts:
    """Count (status, reason) pairs against the number of records that went in.

    Raises:
        ValueError: the outcomes do not add up to `total`, or a rejection has no reason.
    """
    kept = errored = 0
    rejected: dict[str, int] = {}
    for status, reason in outcomes:
        if status == "kept":
            kept += 1
        elif status == "errored":
            errored += 1
        elif status == "rejected" and reason:
            rejected[reason] = rejected.get(reason, 0) + 1
        else:
            raise ValueError(f"status {status!r} with reason {reason!r}")
    return Counts(total=total, kept=kept, rejected=dict(sorted(rejected.items())), errored=errored)
