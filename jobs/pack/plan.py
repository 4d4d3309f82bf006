"""Planning: from token files to the pack of every document, window by window, without a payload.

scatter (token files -> windows), measure (windows, what cannot be packed set apart), the cut of the
mixture, assign (windows -> packs), list (the catalogue). How many windows there are follows from the
content alone, so neither workers nor the cutting of files into units decide what is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from infra.errors import UserError
from infra.job import Resources
from infra.manifest import Output, Receipt
from infra.reporter import Reporter
from jobs.pack.assign import FILES, FORGOTTEN, Assign, assign
from jobs.pack.catalogue import Listing, list_documents
from jobs.pack.columns import Ints
from jobs.pack.exchange import publish_chunks, work_file
from jobs.pack.inputs import TokenFile, group
from jobs.pack.measure import Measure, measure
from jobs.pack.mixture import Cut, available_tokens, cost_per_token, make_cuts, wanted_tokens
from jobs.pack.packers import Limits
from jobs.pack.records import Cost
from jobs.pack.scatter import UNIT_DOCUMENTS, Scatter, scatter
from jobs.pack.split import FIRST_PACKS, UNIT_BYTES
from jobs.pack.steps import Context, Steps
from jobs.recipe import Packing

WINDOW_DOCUMENTS = 1 << 18
"""Documents in a window on average, at most, and so in a worker's memory: about 100 MB."""


@dataclass(frozen=True)
class Request:
    """What is to be planned."""

    files: Sequence[TokenFile]
    documents: Mapping[str, int]
    """Of each family, as the manifests say."""
    packing: Packing
    mixture: Mapping[str, float]
    """Weights above 0."""
    cost: Cost
    seed: int
    forgotten: tuple[int, ...] = ()
    place: str = "packing"
    """Names it in errors."""


@dataclass(frozen=True)
class Plan:
    """Every document has its pack. `first_packs` is the number of each window's first; the last, of all."""

    context: Context
    limits: Limits
    groups: list[tuple[TokenFile, ...]]
    first_packs: Ints
    scattered: list[Receipt]
    listed: list[Receipt]


def make_plan(request: Request, output: Output, report: Reporter, resources: Resources) -> Plan:
    """Plan all documents and publish the catalogue.

    Raises:
        UserError: a family of the mixture has no documents, nothing can be packed, or packs are too many.
    """
    steps = Steps(output, report, resources)
    units = group(request.files, lambda file: file.rows, UNIT_DOCUMENTS)
    groups = group(request.files, lambda file: file.bytes, UNIT_BYTES)
    context = _context(request, output, len(units), len(groups))
    _publish_files(output, groups)
    publish_chunks(output, FORGOTTEN, [np.array(request.forgotten, "<u8").tobytes()])
    scattered = steps.do("scatter", [Scatter(context, files) for files in units], scatter)
    limits = _limits(request, scattered)
    bound = _rejecting(request.packing, limits)
    steps.do("measure", [Measure(context, w, bound) for w in range(context.windows)], measure)
    cuts = _cuts(request, context)
    held, packer = _packing_limits(request.packing, limits), request.packing.packer
    tasks = [Assign(context, w, held, packer, cuts) for w in range(context.windows)]
    assigned = steps.do("assign", tasks, assign)
    first_packs = np.cumsum([0, *(receipt.metadata["packs"] for receipt in assigned)])
    if first_packs[-1] > np.iinfo(np.int32).max:
        raise UserError(f"{first_packs[-1]} packs are too many to number", request.place, "Raise max_tokens")
    publish_chunks(output, FIRST_PACKS, [first_packs.astype("<i8").tobytes()])
    listings = [Listing(context, w, int(first_packs[w])) for w in range(context.windows)]
    listed = steps.do("catalogue", listings, list_documents)
    return Plan(context, limits, groups, first_packs, scattered, listed)


def _context(request: Request, output: Output, scatters: int, splits: int) -> Context:
    repeats = _repeats(request.packing)
    copies = sum(n * repeats.get(family, 1) for family, n in request.documents.items())
    windows = max(1, -(-copies // WINDOW_DOCUMENTS))
    return Context(output, request.seed, request.packing.max_tokens, request.cost, windows, scatters, splits)


def _publish_files(output: Output, groups: Sequence[Sequence[TokenFile]]) -> None:
    """The label and the group of every token file, for units that see records of all."""
    rows = [{"label": file.label, "group": n} for n, files in enumerate(groups) for file in files]
    schema = pa.schema([("label", pa.string()), ("group", pa.int64())])
    output.publish_table(work_file(FILES), pa.Table.from_pylist(rows, schema=schema))


def _limits(request: Request, scattered: Sequence[Receipt]) -> Limits:
    """The token cap, and the budget: `fill` times what a cap full of the mixture's mean tokens costs.

    Raises:
        UserError: a family of the mixture has no tokens that fit a pack.
    """
    totals: dict[str, Ints] = {}
    for receipt in scattered:
        for family, more in receipt.metadata["families"].items():
            # Whole numbers, whose sum does not depend on how documents are shared among units.
            totals[family] = totals.get(family, 0) + np.array([more["tokens"], more["pairs"]])
    _require(request, [family for family, (tokens, _) in totals.items() if tokens])
    sums = {
        family: {"tokens": float(tokens), "cost": float(request.cost.of(tokens, pairs))}
        for family, (tokens, pairs) in totals.items()
    }
    mean = cost_per_token(sums, request.mixture)
    return Limits(request.packing.max_tokens, request.packing.fill * request.packing.max_tokens * mean)


def _cuts(request: Request, context: Context) -> tuple[Cut, ...]:
    """How much of each family is used.

    Raises:
        UserError: no document of a family of the mixture can be packed.
    """
    tokens = available_tokens(context)
    sums = {family: int(ranges.sum()) for family, ranges in tokens.items()}
    _require(request, [family for family, total in sums.items() if total])
    return make_cuts(context, tokens, wanted_tokens(sums, request.mixture, _repeats(request.packing)))


def _require(request: Request, found: Sequence[str]) -> None:
    """Refuse a mixture with a family that has nothing to pack.

    Raises:
        UserError: names the families, and says whether there are documents at all.
    """
    if not (missing := sorted(request.mixture.keys() - set(found))):
        return
    if absent := [family for family in missing if not request.documents.get(family)]:
        what, mend = f"there are no documents of {', '.join(absent)}", "See what curation rejected"
    else:
        what, mend = f"no document of {', '.join(missing)} fits a pack", "Raise max_tokens or fill"
    raise UserError(what, request.place, mend)


def _repeats(packing: Packing) -> dict[str, int]:
    """How often a document of each family may be packed."""
    return {str(family): times for family, times in packing.repeats.items()}


def _rejecting(packing: Packing, limits: Limits) -> Limits:
    """Beyond these limits no document is packed at all."""
    budget = limits.cost if packing.oversize == "reject" else np.inf
    return Limits(limits.tokens, np.inf if packing.packer == "fixed_length" else budget)


def _packing_limits(packing: Packing, limits: Limits) -> Limits:
    """Beyond these limits a document has a pack to itself."""
    return Limits(limits.tokens, np.inf if packing.packer == "fixed_length" else limits.cost)
