"""Packs files: the units of work of packing, published one by one in any number of sweeps.

A sweep reads each token file once and holds a bounded number of tokens, so memory does not grow with
the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from infra.catalogue import Counts
from infra.manifest import Output, Receipt
from infra.reporter import Reporter
from jobs.pack.columns import Ints
from jobs.pack.payload import TokenFile, read_rows, to_packs
from jobs.pack.plan import Plan

FILE_PACKS = 256
"""Packs in one file."""
GROUP_PACKS = 16
"""Packs in one Parquet row group, which is what a reader holds in memory."""
SWEEP_TOKENS = 64_000_000
"""Tokens in memory during one sweep: about half a gigabyte."""


def publish_packs(
    output: Output, files: Sequence[TokenFile], plan: Plan, schema: pa.Schema, report: Reporter
) -> list[Receipt]:
    """Publish the packs files that earlier runs did not; return all receipts in order."""
    receipts = output.receipts()
    total = -(-len(plan.packs) // FILE_PACKS)
    pending = [number for number in range(total) if _name(number) not in receipts]
    done = total - len(pending)
    report.progress(done, total, "files")
    for sweep in _sweeps(plan, pending):
        for number, table in zip(sweep, _tables(files, plan, sweep), strict=True):
            table = table.replace_schema_metadata(schema.metadata)
            receipts[_name(number)] = _publish(output, number, table, plan)
            done += 1
            report.progress(done, total, "files")
    return [receipts[_name(number)] for number in range(total)]


def _tables(files: Sequence[TokenFile], plan: Plan, sweep: Sequence[int]) -> Iterator[pa.Table]:
    """The packs of each file of a sweep."""
    wanted = np.concatenate([p for number in sweep for p in _packs_of(plan, number)])
    rows = read_rows(files, plan.documents.take(wanted))
    for number in sweep:
        sizes = np.array([len(p) for p in _packs_of(plan, number)])
        yield to_packs(rows.slice(0, sizes.sum()), sizes, number * FILE_PACKS)
        rows = rows.slice(sizes.sum())


def _publish(output: Output, number: int, table: pa.Table, plan: Plan) -> Receipt:
    entry = output.publish_table(f"data/{_name(number)}.parquet", table, GROUP_PACKS)
    documents = sum(len(p) for p in _packs_of(plan, number))
    counts = Counts(total=documents, kept=documents)
    return output.finish_unit(Receipt(unit=_name(number), files=(entry,), counts=counts))


def _sweeps(plan: Plan, pending: Sequence[int]) -> Iterator[list[int]]:
    """Group files so that the tokens of a group fit in memory; a group has one file at least."""
    group: list[int] = []
    held = 0
    for number in pending:
        tokens = sum(int(plan.documents.tokens[p].sum()) for p in _packs_of(plan, number))
        if group and held + tokens > SWEEP_TOKENS:
            yield group
            group, held = [], 0
        group.append(number)
        held += tokens
    if group:
        yield group


def _name(number: int) -> str:
    return f"packs-{number:05d}"


def _packs_of(plan: Plan, number: int) -> list[Ints]:
    """The packs of one file, each as positions in the plan's documents."""
    return plan.packs[number * FILE_PACKS : (number + 1) * FILE_PACKS]
