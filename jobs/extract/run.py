"""The extraction job: the curated documents of one drop into tokens at one level (paper 4: pre-extraction).

Training reads the same tokens in every epoch, so they are made once. A curated tar is a unit of work
and becomes one Parquet file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt, read_manifest
from infra.reporter import Reporter
from jobs.extract.outcome import catalogue
from jobs.extract.pictures import decoded_back
from jobs.extract.read import CATALOGUE
from jobs.extract.unit import Extractor, Plan, unit_of
from jobs.models import tokenizer_config
from jobs.specs import TokensSettings
from jobs.units import Unit, run_units
from model.tokenizer import TokenizerConfig


def run(spec: JobSpec[TokensSettings], report: Reporter) -> Manifest:
    """Encode every curated document of the drop, or say why not in the catalogue.

    Raises:
        UserError: the recipe does not fit the tokenizer, or a curated shard is damaged.
    """
    output = Output(spec.output)
    plan = _plan(spec, output)
    tokenizer = tokenizer_config(plan.tokenizer)
    _check(plan, tokenizer)
    curated = read_manifest(plan.captioned)
    tars = {unit_of(f.path): f for f in curated.files if f.path.endswith(".tar")}
    units = [Unit(name, entry, max(1, entry.rows)) for name, entry in tars.items()]
    receipts = run_units(
        output, units, Extractor, report, spec.resources, arguments=(plan,), noun="documents"
    )
    table = catalogue(spec.output, receipts, [entry.path for entry in tars.values()])
    files = [output.publish_table(CATALOGUE, table), *(f for r in receipts for f in r.files)]
    if picture := decoded_back(plan, receipts):
        report.picture("decoded_back", output.picture("decoded_back", picture))
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=tuple(files),
            counts=sum((receipt.counts for receipt in receipts), Counts()),
            metadata=_figures(receipts) | {"codebook_size": tokenizer.codebook_size} | plan.provenance(),
        )
    )


def _plan(spec: JobSpec[TokensSettings], output: Output) -> Plan:
    (captioned,) = spec.inputs["t2i/captioned"]
    (tokenizer,) = spec.inputs["tokenizer/joint"]
    return Plan(output, captioned, tokenizer, read_manifest(tokenizer).hash, spec.settings, spec.seed)


def _check(plan: Plan, tokenizer: TokenizerConfig) -> None:
    """Tell a recipe that does not fit its tokenizer from the start, and not once per document."""
    settings = plan.settings
    if settings.level.cell != tokenizer.stride:
        what = f"cells of {settings.level.cell} pixels, but the tokenizer's are of {tokenizer.stride}"
        raise UserError(what, f"levels.{settings.level_name}.cell", "Set it to the tokenizer's")
    if settings.tokens.self_correction.top_k > tokenizer.codebook_size:
        what = f"larger than the codebook of {tokenizer.codebook_size} codes"
        raise UserError(what, "tokens.self_correction.top_k", "Lower it")


def _figures(receipts: Sequence[Receipt]) -> dict[str, Any]:
    """Sums over the units, and the share of corrected inputs at each scale."""
    schedules: Counter[str] = sum((Counter(r.metadata["schedules"]) for r in receipts), Counter())
    figures: dict[str, Any] = {
        "documents": sum(r.counts.kept for r in receipts),
        "tokens": sum(r.metadata["tokens"] for r in receipts),
        "schedules": dict(sorted(schedules.items())),
        "bytes": sum(entry.bytes for r in receipts for entry in r.files),
    }
    if receipts:
        changed, inputs = np.sum([r.metadata["changed"] for r in receipts], axis=0).T
        figures["corrected_share"] = (changed / np.maximum(inputs, 1)).tolist()
    return figures
