"""How every packer would pack a stage: a simulation on the columns of its tokens; no pack is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from infra.catalogue import Counts
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.pack.compare import PackerFigures, compare
from jobs.pack.figures import comparison
from jobs.pack.inputs import find_files
from jobs.pack.run import TOKENIZER, cost_model
from jobs.pictures.packing import packer_bars
from jobs.specs.what_if import ComparePackersSettings
from jobs.what_if.documents import Simulated, choose, read_sample


def run(spec: JobSpec[ComparePackersSettings], report: Reporter) -> Manifest:
    """Simulate every packer on the inputs' documents; the manifest has each one's figures.

    Raises:
        UserError: a family of the mixture has no document that fits a pack.
    """
    output, pack = Output(spec.output), spec.settings.pack
    folders = [folder for name in sorted(spec.inputs) if name != TOKENIZER for folder in spec.inputs[name]]
    (tokenizer,) = spec.inputs[TOKENIZER]
    files = find_files(folders)
    documents = read_sample(files, cost_model(pack, tokenizer), spec.seed, report)
    mixture = {family: weight for family, weight in pack.mixture.items() if weight > 0}
    chosen = choose(documents, pack.packing, mixture, spec.seed, f"stage {pack.stage_name!r}")
    used = documents.take(chosen.reasons == "")
    figures = compare(used, chosen.limits, spec.settings.ranks, spec.seed)
    bars = packer_bars(comparison(figures), spec.settings.ranks)
    report.picture("packers", output.picture("packers", bars))
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=(),
            counts=_counts(sum(file.rows for file in files), chosen),
            metadata={"packers": _by_name(figures), "tokens": int(used.tokens.sum())},
        )
    )


def _counts(total: int, chosen: Simulated) -> Counts:
    """All documents of the inputs: simulated, left out as packing would, or not in the sample."""
    reasons = Counter(chosen.reasons.tolist())
    kept = reasons.pop("", 0)
    if others := total - len(chosen.documents):
        reasons["not_sampled"] = others
    return Counts(total=total, kept=kept, rejected=dict(sorted(reasons.items())))


def _by_name(figures: Sequence[PackerFigures]) -> dict[str, dict[str, Any]]:
    """All figures of each packer, with its throughput relative to the paper's."""
    relative = comparison(figures)
    return {one.packer: {"packs": one.packs, **relative[one.packer], **asdict(one.steps)} for one in figures}
