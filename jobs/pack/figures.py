"""What packing tells about itself: how full and how even the packs are, and what other packers would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from jobs.pack.assign import read_fates, read_summary
from jobs.pack.columns import FAMILIES, make_salt, shuffle_keys
from jobs.pack.compare import PackerFigures, compare, step_figures
from jobs.pack.packers import Limits, lower_bound
from jobs.pack.records import SUMMARY, Records, join, reason_code
from jobs.pack.steps import Context

SAMPLE_WINDOWS = 64
"""Windows whose packs the figures of steps are about; each is a random share of everything."""
SAMPLE_DOCUMENTS = 200_000
"""Documents that all packers are compared on."""


def pack_figures(context: Context, limits: Limits, ranks: int) -> dict[str, Any]:
    """Sums over all packs, and how even steps of `ranks` packs are.

    A stage may train with other numbers of packs without packing anew, so the figures say for which they are.
    """
    sums = _Sums(context, limits)
    for window in range(context.windows):
        sums.add(read_summary(context, window))
    sample = sample_packs(context)
    steps = asdict(step_figures(sample["cost"], sample["tokens"].astype(np.int64), ranks))
    return sums.figures() | {
        "steps": {"packs_per_step": ranks, **steps},
        "figures_of_packs": len(sample),
    }


def sample_packs(context: Context) -> Records:
    """Summaries of packs that are not empty, of a bounded number of windows."""
    windows = range(min(context.windows, SAMPLE_WINDOWS))
    packs = join((read_summary(context, window) for window in windows), SUMMARY)
    return packs[packs["documents"] > 0]


def compare_packers(context: Context, limits: Limits, ranks: int, seed: int) -> list[PackerFigures]:
    """Every packer on those packed documents of a sample that are within the budget; empty where none is."""
    columns = context.cost.columns(_sample_documents(context, seed))
    within = columns.take(columns.cost <= limits.cost)
    return compare(within, limits, ranks, seed) if len(within) else []


def comparison(figures: Sequence[PackerFigures]) -> dict[str, Any]:
    """The packers' figures by name, with the throughput relative to the paper's strategy."""
    paper = next(f for f in figures if f.packer == "fixed_budget").steps.tokens_per_flop
    return {
        f.packer: {
            "packs_over_bound": f.packs / f.lower_bound,
            "token_fill": f.token_fill_mean,
            "balance": f.steps.mean,
            "throughput": f.steps.tokens_per_flop / paper,
        }
        for f in figures
    }


class _Sums:
    """Sums over the packs of all windows."""

    def __init__(self, context: Context, limits: Limits) -> None:
        self._context, self._limits = context, limits
        self._packs = self._documents = 0
        self._tokens = np.zeros(len(FAMILIES), np.int64)
        self._cost = self._most = 0.0
        self._least = context.max_tokens

    def add(self, packs: Records) -> None:
        """Count packs; those that hold nothing any more are none."""
        packs = packs[packs["documents"] > 0]
        tokens = packs["tokens"].astype(np.int64)
        self._packs += len(packs)
        self._documents += int(packs["documents"].sum())
        self._tokens += tokens.sum(0)
        self._cost += float(packs["cost"].sum())
        self._most = max(self._most, float(packs["cost"].max(initial=0)))
        self._least = min(self._least, int(tokens.sum(1).min(initial=self._least)))

    def figures(self) -> dict[str, Any]:
        """Counts, fill and shares."""
        total, cap, packs = int(self._tokens.sum()), self._context.max_tokens, max(1, self._packs)
        shares = zip(FAMILIES, (self._tokens / max(1, total)).tolist(), strict=True)
        bound = lower_bound(total, self._cost, self._limits)
        return {
            "packs": self._packs,
            "packs_lower_bound": bound,
            "packs_over_bound": self._packs / max(1, bound),
            "documents": self._documents,
            "documents_per_pack": self._documents / packs,
            "tokens": total,
            "max_tokens": cap,
            "cost": self._cost,
            "token_fill_mean": total / cap / packs,
            "token_fill_min": self._least / cap,
            "cost_balance": self._cost / packs / self._most if self._most else 0.0,
            "mixture": {family: share for family, share in shares if share},
        }


def _sample_documents(context: Context, seed: int) -> Records:
    """Random documents that are in packs, of as many windows as the sample needs."""
    found: list[Records] = []
    for window in range(context.windows):
        documents, _, _ = read_fates(context, window)
        found.append(documents[documents["reason"] == reason_code("")])
        if sum(map(len, found)) >= SAMPLE_DOCUMENTS:
            break
    documents = np.concatenate(found)
    keys = shuffle_keys(documents["id"], make_salt(seed, "sample"))
    return documents[np.argsort(keys)[:SAMPLE_DOCUMENTS]]
