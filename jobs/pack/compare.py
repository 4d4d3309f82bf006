"""What packers are worth, on the same documents: a simulated training in which every step waits.

A step takes as long as its most expensive pack; the others' devices are idle until it is done. So the
throughput of a packing is its documents' tokens over the sum of its steps' maxima. Time is in FLOPs: the
figures of two packers may be divided by each other, and mean nothing on their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.pack.columns import FAMILIES, Columns, Floats, Ints, make_salt, shuffle_keys
from jobs.pack.packers import PACKERS, PADDING, Limits, lower_bound, padded


@dataclass(frozen=True)
class StepFigures:
    """How even the packs of a step are: mean over maximum compute, 1 at best."""

    steps: int
    mean: float
    p50: float
    p99: float
    """99% of the steps are at least as even."""
    worst: float
    family_std: float
    """Standard deviation over the steps of a family's share of the tokens; of the family that varies most."""
    tokens_per_flop: float
    """Tokens that are trained on, by the compute of one device from the first step to the last."""


@dataclass(frozen=True)
class PackerFigures:
    """One packer's outcome. Fill is the share of the token cap that documents use, padding not counted."""

    packer: str
    packs: int
    lower_bound: int
    """Packs that are needed at least to obey both limits; those that ignore the compute may have fewer."""
    token_fill_mean: float
    token_fill_min: float
    steps: StepFigures


def compare(columns: Columns, limits: Limits, ranks: int, seed: int) -> list[PackerFigures]:
    """Pack the same documents in every way.

    Args:
        columns: documents, each within the limits alone, in any order.
        limits: of a pack. Padding and fixed length know the token cap only.
        ranks: packs in one step.
        seed: of the order of documents and packs.
    """
    order = np.argsort(shuffle_keys(columns.ids, make_salt(seed, "documents")), kind="stable")
    documents = columns.take(order)
    return [_figures(name, documents, limits, ranks, seed) for name in PACKERS]


def step_figures(cost: Floats, tokens: Ints, ranks: int) -> StepFigures:
    """Figures of packs in the order in which they train.

    Args:
        cost: what each pack executes, in FLOPs.
        tokens: of each pack (rows) by family (columns).
        ranks: packs in one step. An incomplete last step counts only where it is the only one.

    Raises:
        ValueError: there are no packs.
    """
    if not len(cost):
        raise ValueError("no packs, no figures")
    ranks = min(ranks, len(cost))
    steps = len(cost) // ranks
    costs = cost[: steps * ranks].reshape(steps, ranks)
    by_family = tokens[: steps * ranks].reshape(steps, ranks, -1).sum(1)
    sums = by_family.sum(1)
    even = costs.mean(1) / costs.max(1)
    shares = by_family / np.maximum(sums, 1)[:, None]
    return StepFigures(
        steps=steps,
        mean=float(even.mean()),
        p50=float(np.quantile(even, 0.5)),
        p99=float(np.quantile(even, 0.01)),
        worst=float(even.min()),
        family_std=float(shares.std(0).max()),
        tokens_per_flop=float(sums.sum() / costs.max(1).sum()),
    )


def tokens_by_family(documents: Columns, pack: npt.NDArray[np.int64], packs: int) -> Ints:
    """Tokens of each pack (rows) by family (columns)."""
    place = pack * len(FAMILIES) + documents.family
    sums = np.bincount(place, documents.tokens, packs * len(FAMILIES)).astype(np.int64)
    return sums.reshape(packs, len(FAMILIES))


def _figures(name: str, documents: Columns, limits: Limits, ranks: int, seed: int) -> PackerFigures:
    pack = PACKERS[name](documents, limits)
    packs = int(pack.max(initial=-1)) + 1
    executed: Floats = np.bincount(pack, documents.cost, packs).astype(np.float64)
    if name in PADDING:
        executed = padded(documents.cost, pack)
    tokens = tokens_by_family(documents, pack, packs)
    fill = tokens.sum(1) / limits.tokens
    order = np.random.default_rng(seed).permutation(packs)
    return PackerFigures(
        packer=name,
        packs=packs,
        lower_bound=lower_bound(documents.tokens, documents.cost, limits),
        token_fill_mean=float(fill.mean()),
        token_fill_min=float(fill.min()),
        steps=step_figures(executed[order], tokens[order], ranks),
    )
