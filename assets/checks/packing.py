"""Checks of packs: nothing lost or doubled, no pack too large, mixture and balance as the recipe says.

Each reads the published files row group by row group; of what it has read it keeps sums alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.checks import Check, Published, Verdict, no_problems
from infra import storage
from infra.catalogue import Counts

TOLERANCE = 0.01
"""Of a family's share of the tokens."""

_ROUNDING = 1e-9
_MIX = np.uint64(0x9E3779B97F4A7C15)

Values = npt.NDArray[Any]


def _batches(output: Published, prefix: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of all files whose path starts so, a bounded number at a time."""
    for path in output.manifest.paths(".parquet"):
        if not path.startswith(prefix):
            continue
        with storage.open_input(storage.join(output.folder, path)) as stream:
            parquet = pq.ParquetFile(stream)
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group, columns=columns, use_threads=False)
                yield from table.combine_chunks().to_batches()


def _catalogue(output: Published, *columns: str) -> Iterator[pa.RecordBatch]:
    return _batches(output, "data/catalogue-", list(columns))


def _packs(output: Published, *columns: str) -> Iterator[tuple[pa.RecordBatch, pa.StructArray, Values]]:
    """Packs with columns of their documents: packs, documents, the row of each document's pack."""
    wanted = ["pack", "cost", "tokens", *(f"documents.list.element.{name}" for name in columns)]
    for batch in _batches(output, "data/packs-", wanted):
        documents = batch["documents"]
        yield batch, documents.flatten(), pc.list_parent_indices(documents).to_numpy()


def _sum_of_pairs(one: Values, other: Values) -> int:
    """A sum in which each pair of numbers counts, whatever their order: equal for equal sets of pairs."""
    keys = (one.astype(np.uint64) * _MIX) ^ (other.astype(np.uint64) + _MIX)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((keys ^ (keys >> np.uint64(31))).sum(dtype=np.uint64))


@dataclass
class _Placed:
    """Every (document, pack) and every (document, how-manieth time), as sums."""

    times: int = 0
    in_packs: int = 0
    repeats: int = 0

    def add(self, ids: Values, packs: Values, repeats: Values) -> None:
        """Count documents in packs."""
        self.times += len(ids)
        self.in_packs = (self.in_packs + _sum_of_pairs(ids, packs)) % 2**64
        self.repeats = (self.repeats + _sum_of_pairs(ids, repeats)) % 2**64


@dataclass
class _Listed:
    """What the catalogue says."""

    rows: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    placed: _Placed = field(default_factory=_Placed)
    problems: list[str] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch, allowed: dict[str, int]) -> None:
        """Count rows: a kept one is in packs, as often as its family may be, others in none."""
        ids, times = batch["sample_id"].to_numpy(), pc.list_value_length(batch["packs"]).to_numpy()
        kept = np.array(batch["status"].to_pylist()) == "kept"
        most = np.array([allowed.get(family, 1) for family in batch["family"].to_pylist()])
        self.rows += len(batch)
        self.statuses.update(reason or "kept" for reason in batch["reason"].to_pylist())
        for wrong, what in (
            (kept & (times == 0), "is kept, but in no pack"),
            (~kept & (times > 0), "is not kept, but in a pack"),
            (times > most, "is in more packs than the recipe allows"),
            (kept & _doubled(ids, kept), "is kept twice"),
        ):
            self.problems += [f"document {i:016x} {what}" for i in ids[wrong].tolist()]
        repeats = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        self.placed.add(np.repeat(ids, times), batch["packs"].flatten().to_numpy(), repeats)


def _doubled(ids: Values, kept: Values) -> Values:
    """Which ids are kept several times. Equal ids are in one file of the catalogue."""
    found, counts = np.unique(ids[kept], return_counts=True)
    return np.isin(ids, found[counts > 1])


def _nothing_lost(output: Published) -> Verdict:
    listed, packed = _Listed(), _Placed()
    repeats = {str(family): times for family, times in output.settings.packing.repeats.items()}
    for batch in _catalogue(output, "sample_id", "status", "reason", "family", "packs"):
        listed.add(batch, repeats)
    for packs, documents, row in _packs(output, "sample_id", "repeat"):
        ids, repeat = (documents.field(name).to_numpy() for name in ("sample_id", "repeat"))
        packed.add(ids, packs["pack"].to_numpy()[row], repeat)
    handed_on = sum(m.counts.kept for key in output.records_from for m in output.input_manifests(key))
    counts = output.manifest.counts
    problems = [*listed.problems, *_differences(listed, packed), *_uncounted(listed, counts, handed_on)]
    return no_problems(problems, counts.describe(), packed=packed.times, handed_on=handed_on)


def _differences(listed: _Listed, packed: _Placed) -> list[str]:
    """Where the catalogue and the packs disagree."""
    problems = []
    named = listed.placed
    if (packed.times, packed.in_packs) != (named.times, named.in_packs):
        problems.append(f"the catalogue names {named.times} places, the packs have {packed.times} others")
    if packed.repeats != named.repeats:
        problems.append("the repeats in the packs do not count from 0 for every document")
    return problems


def _uncounted(listed: _Listed, counts: Counts, handed_on: int) -> list[str]:
    """Where the catalogue, the manifest and the inputs disagree."""
    problems = []
    if not listed.rows == counts.total == handed_on:
        numbers = f"{handed_on} documents were handed on, {counts.total} counted, {listed.rows} listed"
        problems.append(numbers)
    if listed.statuses != Counter(counts.rejected) + Counter(kept=counts.kept):
        problems.append(f"the catalogue says {dict(listed.statuses)}, the manifest {counts.describe()}")
    return problems


def _limits(output: Published) -> Verdict:
    packing = output.settings.packing
    problems: list[str] = []
    packs = tokens = 0
    for batch, documents, row in _packs(output, "tokens", "pairs"):
        sums = _sums(output, documents, row, len(batch))
        for wrong, what in _wrong_packs(output, batch, sums):
            problems += [f"pack {number} {what}" for number in batch["pack"].to_numpy()[wrong].tolist()]
        packs, tokens = packs + len(batch), tokens + int(sums.tokens.sum())
    fill = tokens / (packing.max_tokens * packs) if packs else 0.0
    return no_problems(problems, f"{packs} packs, {fill:.1%} full", packs=packs, fill=fill)


@dataclass(frozen=True)
class _Sums:
    """Of the documents of each pack."""

    documents: Values
    tokens: Values
    cost: Values


def _sums(output: Published, documents: pa.StructArray, row: Values, packs: int) -> _Sums:
    metadata = output.manifest.metadata
    tokens, pairs = (documents.field(name).to_numpy() for name in ("tokens", "pairs"))
    cost = metadata["cost_per_position"] * tokens + metadata["cost_per_pair"] * pairs
    documents_of, tokens_of, cost_of = (np.bincount(row, w, packs) for w in (None, tokens, cost))
    return _Sums(documents_of, tokens_of, cost_of)


def _wrong_packs(output: Published, batch: pa.RecordBatch, sums: _Sums) -> list[tuple[Values, str]]:
    """Which packs break a rule, and which one."""
    packing = output.settings.packing
    budget = float(output.manifest.metadata["budget_cost"])
    expensive = (sums.cost > budget * (1 + _ROUNDING)) & (packing.packer != "fixed_length")
    alone = (sums.documents == 1) & (packing.oversize == "alone")
    return [
        (sums.tokens > packing.max_tokens, f"has more than {packing.max_tokens} tokens"),
        (expensive & ~alone, f"costs more than {budget:.4g} FLOPs"),
        (sums.tokens != batch["tokens"].to_numpy(), "has other tokens than it says"),
        (
            np.abs(sums.cost - batch["cost"].to_numpy()) > _ROUNDING * sums.cost,
            "has another cost than it says",
        ),
        (sums.documents == 0, "is empty"),
    ]


def _mixture(output: Published) -> Verdict:
    wanted = {family: weight for family, weight in output.settings.mixture.items() if weight}
    tokens: Counter[str] = Counter()
    longest: Counter[str] = Counter()
    for _, documents, _ in _packs(output, "family", "tokens"):
        table = pa.table({"family": documents.field("family"), "tokens": documents.field("tokens")})
        for row in table.group_by("family").aggregate([("tokens", "sum"), ("tokens", "max")]).to_pylist():
            tokens[row["family"]] += row["tokens_sum"]
            longest[row["family"]] = max(longest[row["family"]], row["tokens_max"])
    total, weights = sum(tokens.values()), sum(wanted.values())
    shares = {family: tokens[family] / total if total else 0.0 for family in {*tokens, *wanted}}
    # A family ends within a document of its share; what was forgotten is missing from it.
    slack = (sum(longest.values()) + _forgotten(output, "tokens")) / max(1, total)
    problems = [
        f"{family} is {share:.2%} of the tokens, the recipe says {wanted.get(family, 0) / weights:.2%}"
        for family, share in sorted(shares.items())
        if abs(share - wanted.get(family, 0) / weights) > max(TOLERANCE, slack)
    ]
    fine = ", ".join(f"{family} {share:.2%}" for family, share in sorted(shares.items()))
    return no_problems(problems, fine, **shares)


def _forgotten(output: Published, column: str) -> float:
    """The `tokens` or the `cost` that the plan counted and no pack holds, at most."""
    total, repeats = 0.0, output.settings.packing.repeats
    for batch in _catalogue(output, "reason", "family", column) if output.settings.forgotten else ():
        for row in batch.filter(pc.equal(batch["reason"], "forgotten")).to_pylist():
            total += row[column] * repeats.get(row["family"], 1)
    return total


def _balance(output: Published) -> Verdict:
    ranks, least = output.settings.packs_per_step, output.settings.packing.min_balance
    steps, even, room, held = 0, 0.0, 0.0, np.empty(0)
    for batch in _batches(output, "data/packs-", ["cost"]):
        held = np.concatenate([held, batch["cost"].to_numpy()])
        whole = held[: len(held) // ranks * ranks].reshape(-1, ranks)
        steps, even = steps + len(whole), even + float((whole.mean(1) / whole.max(1)).sum())
        room += float(whole.max(1).sum()) * ranks
        held = held[whole.size :]
    if not steps and len(held):
        steps, even, room = 1, float(held.mean() / held.max()), float(held.max()) * len(held)
    balance = even / steps if steps else 0.0
    # What was forgotten is missing from its packs, which were planned with it.
    slack = _forgotten(output, "cost") / room if room else 0.0
    fine = f"mean / max compute of {ranks} packs is {balance:.4f} on average over {steps} steps"
    problems = [] if balance + slack >= least else [f"{fine}, below {least}"]
    return no_problems(problems, fine, balance=balance, steps=steps)


NOTHING_LOST = Check(
    "nothing_lost",
    "Every document is in packs, as often as the recipe allows, or rejected for a reason.",
    _nothing_lost,
)
LIMITS = Check("limits_hold", "No pack exceeds the token cap or the compute budget.", _limits)
MIXTURE = Check("mixture", "Families' shares of the tokens are within 1% of the recipe's.", _mixture)
BALANCE = Check("balance", "The packs of a step cost about the same: no device waits for long.", _balance)
