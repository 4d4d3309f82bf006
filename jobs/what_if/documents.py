"""The documents of a simulated stage: a part of all, without those that packing would leave out.

The same rules as in packing, on few enough documents to have them in memory. Families are not repeated, and
what costs more than the budget is left out whatever the stage says: not every packer could place it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.errors import UserError
from infra.reporter import Reporter
from jobs.pack.columns import FAMILIES, Columns, make_salt, shuffle_keys
from jobs.pack.inputs import TokenFile, read_documents
from jobs.pack.mixture import cost_per_token, wanted_tokens
from jobs.pack.packers import Limits
from jobs.pack.records import Cost
from jobs.recipe import Packing

SAMPLE = 500_000
"""Documents to simulate, on average, where there are more."""

Reasons = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Simulated:
    """Documents, the limits of a pack, and why a document is left out; empty where it is not."""

    documents: Columns
    limits: Limits
    reasons: Reasons


def read_sample(
    files: Sequence[TokenFile], cost: Cost, seed: int, report: Reporter, size: int = SAMPLE
) -> Columns:
    """About `size` documents, chosen by a hash of their ids alone; one file is in memory at a time."""
    share = min(1.0, size / max(1, sum(file.rows for file in files)))
    parts = []
    for number, file in enumerate(files, start=1):
        documents, _ = read_documents(file)
        keys = shuffle_keys(documents["id"], make_salt(seed, "what if"))
        parts.append(documents[keys / 2.0**64 <= share])
        report.progress(number, len(files), "files")
    documents = np.concatenate(parts)
    return cost.columns(documents[np.argsort(documents["id"], kind="stable")])


def choose(
    documents: Columns, packing: Packing, mixture: Mapping[str, float], seed: int, place: str
) -> Simulated:
    """Leave out what no pack can hold and what the mixture has no use for.

    Args:
        documents: ordered by id.
        packing: of the stage.
        mixture: weights above 0.
        seed: of the order in which a family's documents are used.
        place: names the stage in errors.

    Raises:
        UserError: a family of the mixture has no document that fits a pack.
    """
    fitting = documents.tokens <= packing.max_tokens
    mean = cost_per_token(_sums(documents.take(fitting), mixture, place), mixture)
    limits = Limits(packing.max_tokens, packing.fill * packing.max_tokens * mean)
    reasons = np.full(len(documents), "", "<U16")
    reasons[1:][documents.ids[1:] == documents.ids[:-1]] = "duplicate"
    _reject(reasons, documents.tokens < 1, "empty")
    _reject(reasons, ~fitting, "over_token_cap")
    _reject(reasons, documents.cost > limits.cost, "over_budget")
    sums = _sums(documents.take(reasons == ""), mixture, place)
    wanted = wanted_tokens({family: int(held["tokens"]) for family, held in sums.items()}, mixture, {})
    reasons[_beyond(documents, reasons, wanted, seed)] = "over_mixture"
    return Simulated(documents, limits, reasons)


def _beyond(
    documents: Columns, reasons: Reasons, wanted: Mapping[str, float], seed: int
) -> npt.NDArray[np.int64]:
    """Positions of the documents that come after a family's wanted tokens, in the order of a hash."""
    order = np.argsort(shuffle_keys(documents.ids, make_salt(seed, "mixture")), kind="stable")
    order = order[reasons[order] == ""]
    found = []
    for code, family in enumerate(FAMILIES):
        mine = order[documents.family[order] == code]
        # Half a token of slack absorbs the rounding of what is wanted.
        found.append(mine[np.cumsum(documents.tokens[mine]) > wanted.get(family, 0.0) + 0.5])
    return np.concatenate(found)


def _reject(reasons: Reasons, mask: npt.NDArray[np.bool_], reason: str) -> None:
    """Give a reason to the documents of a mask that have none yet."""
    reasons[mask & (reasons == "")] = reason


def _sums(documents: Columns, mixture: Mapping[str, float], place: str) -> dict[str, dict[str, float]]:
    """Tokens and cost of each family of the mixture."""
    sums = {}
    for family in mixture:
        mine = documents.take(documents.family == FAMILIES.index(family))
        if not len(mine):
            raise UserError(f"no document of {family} fits a pack", place, "Raise max_tokens or fill")
        sums[family] = {"tokens": float(mine.tokens.sum()), "cost": float(mine.cost.sum())}
    return sums
