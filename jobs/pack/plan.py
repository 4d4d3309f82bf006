"""Which document goes into which pack, and which into none and why: a pure function of columns and seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.manifest import digest
from jobs.pack.columns import Columns, Ints, shuffle_keys
from jobs.pack.mixture import cost_per_token, surplus
from jobs.pack.packers import Limits, Packer, next_fit
from jobs.recipe import Packing


@dataclass(frozen=True)
class Plan:
    """The outcome for every document. `packs` holds positions in `documents`, which is ordered by id."""

    documents: Columns
    reasons: npt.NDArray[np.str_]
    """Why a document is in no pack; empty where it is in one."""
    packs: list[Ints]
    limits: Limits

    def pack_tokens(self) -> Ints:
        """Tokens of each pack."""
        return np.array([self.documents.tokens[p].sum() for p in self.packs], np.int64)

    def pack_flops(self) -> npt.NDArray[np.float64]:
        """Cost of each pack."""
        return np.array([self.documents.flops[p].sum() for p in self.packs], np.float64)

    def lower_bound(self) -> int:
        """Packs that any packer needs at least, by either cap."""
        if not self.packs:
            return 0
        tokens, flops = self.pack_tokens().sum(), self.pack_flops().sum()
        return int(max(-(-tokens // self.limits.tokens), np.ceil(flops / self.limits.flops)))


def make_plan(
    documents: Columns, packing: Packing, mixture: dict[str, float], seed: int, packer: Packer = next_fit
) -> Plan:
    """Reject what cannot be packed, keep the mixture, shuffle, pack, and shuffle the packs.

    The compute budget of a pack is `fill` times what `max_tokens` tokens of the mixture cost.
    """
    documents = documents.by_id()
    reasons = np.full(len(documents), "", dtype="<U16")
    reasons[1:][documents.ids[1:] == documents.ids[:-1]] = "duplicate"
    _reject(reasons, documents.tokens > packing.max_tokens, "over_token_cap")
    cost = cost_per_token(documents.take(reasons == ""), mixture)
    limits = Limits(packing.max_tokens, packing.fill * packing.max_tokens * cost)
    _reject(reasons, documents.flops > limits.flops, "over_budget")
    keys = shuffle_keys(documents.ids, _salt(seed, "documents"))
    _reject(reasons, surplus(documents, keys, reasons == "", mixture), "over_mixture")
    order = np.argsort(keys, kind="stable")
    order = order[reasons[order] == ""]
    packs = [order[p] for p in packer(documents.take(order), limits)]
    return Plan(documents, reasons, _shuffle_packs(packs, documents, seed), limits)


def _reject(reasons: npt.NDArray[np.str_], mask: npt.NDArray[np.bool_], reason: str) -> None:
    """Give a reason to the documents of a mask that have none yet."""
    reasons[mask & (reasons == "")] = reason


def _shuffle_packs(packs: list[Ints], documents: Columns, seed: int) -> list[Ints]:
    """Packers that sort put similar packs side by side; a training step should see a mix."""
    first = np.array([documents.ids[p[0]] for p in packs], np.uint64)
    return [packs[i] for i in np.argsort(shuffle_keys(first, _salt(seed, "packs")))]


def _salt(seed: int, use: str) -> int:
    return int(digest({"seed": seed, "use": use})[:16], 16)
