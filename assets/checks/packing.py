"""Checks of packs: nothing lost or doubled, no pack too large, the mixture as the recipe says."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pyarrow.parquet as pq

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import CATALOGUE
from infra import storage

TOLERANCE = 0.01
"""Of a family's share of the tokens."""


def _documents(output: Published, columns: tuple[str, ...]) -> list[tuple[int, dict[str, Any]]]:
    """(pack, document) of every document in the packs files; `columns` of the document."""
    found = []
    for path in output.manifest.paths(".parquet"):
        if path == CATALOGUE:
            continue
        wanted = ["pack", *(f"documents.list.element.{name}" for name in columns)]
        with storage.open_input(storage.join(output.folder, path)) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(64, columns=wanted):
                for row in batch.to_pylist():
                    found += [(int(row["pack"]), document) for document in row["documents"]]
    return found


def _nothing_lost(output: Published) -> Verdict:
    rows = output.table(CATALOGUE, ["sample_id", "status"]).to_pylist()
    listed = Counter(row["sample_id"] for row in rows if row["status"] == "kept")
    packed = Counter(document["sample_id"] for _, document in _documents(output, ("sample_id",)))
    counts = output.manifest.counts
    handed_on = sum(m.counts.kept for key in output.inputs for m in output.input_manifests(key))
    problems = [f"document {i:016x} is packed {n} times" for i, n in packed.items() if n > 1]
    if lost := sum((listed - packed).values()):
        problems.append(f"{lost} documents of the catalogue are in no pack")
    if strange := sum((packed - listed).values()):
        problems.append(f"{strange} packed documents are not in the catalogue")
    if not len(rows) == counts.total == handed_on:
        problems.append(f"{handed_on} documents were handed on, {counts.total} counted, {len(rows)} listed")
    return no_problems(problems, counts.describe(), packed=sum(packed.values()), handed_on=handed_on)


def _limits(output: Published) -> Verdict:
    cap = output.settings.packing.max_tokens
    budget = float(output.manifest.metadata["budget_flops"])
    tokens: Counter[int] = Counter()
    flops: defaultdict[int, float] = defaultdict(float)
    for pack, document in _documents(output, ("tokens", "flops")):
        tokens[pack] += document["tokens"]
        flops[pack] += document["flops"]
    problems = [f"pack {pack} has {n} tokens, the cap is {cap}" for pack, n in tokens.items() if n > cap]
    problems += [
        f"pack {pack} costs {cost:.4g} FLOPs, the budget is {budget:.4g}"
        for pack, cost in flops.items()
        if cost > budget * (1 + 1e-9)
    ]
    fill = sum(tokens.values()) / (cap * len(tokens)) if tokens else 0.0
    return no_problems(problems, f"{len(tokens)} packs, {fill:.1%} full", packs=len(tokens), fill=fill)


def _mixture(output: Published) -> Verdict:
    wanted = output.settings.mixture
    tokens: Counter[str] = Counter()
    for _, document in _documents(output, ("family", "tokens")):
        tokens[str(document["family"])] += document["tokens"]
    total = sum(tokens.values())
    weights = sum(wanted.values())
    shares = {family: tokens[family] / total if total else 0.0 for family in {*tokens, *wanted}}
    problems = [
        f"{family} is {share:.2%} of the tokens, the recipe says {wanted.get(family, 0) / weights:.2%}"
        for family, share in sorted(shares.items())
        if abs(share - wanted.get(family, 0) / weights) > TOLERANCE
    ]
    fine = ", ".join(f"{family} {share:.2%}" for family, share in sorted(shares.items()))
    return no_problems(problems, fine, **shares)


NOTHING_LOST = Check(
    "nothing_lost", "Every document is in one pack, or rejected for a reason.", _nothing_lost
)
LIMITS = Check("limits_hold", "No pack exceeds the token cap or the compute budget.", _limits)
MIXTURE = Check("mixture", "Families' shares of the tokens are within 1% of the recipe's.", _mixture)
