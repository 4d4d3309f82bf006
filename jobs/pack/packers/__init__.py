"""Packers: from documents in order to packs under two limits.

Every packer is one function of the same shape, so that they can be compared on the same documents.
"""

from jobs.pack.packers.balanced import balanced
from jobs.pack.packers.batch_padding import batch_padding, padded, padding_to_cap
from jobs.pack.packers.fixed_budget import fixed_budget
from jobs.pack.packers.fixed_length import fixed_length
from jobs.pack.packers.limits import Limits, Packer, lower_bound

PACKERS: dict[str, Packer] = {
    "batch_padding": batch_padding,
    "padding_to_cap": padding_to_cap,
    "fixed_length": fixed_length,
    "fixed_budget": fixed_budget,
    "balanced": balanced,
}

PADDING = ("batch_padding", "padding_to_cap")
"""Packers whose batches execute their padding, too."""

__all__ = ["PACKERS", "PADDING", "Limits", "Packer", "lower_bound", "padded"]
