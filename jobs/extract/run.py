"""The extraction job: curated documents into tokens at one level (paper 4: pre-extraction).

Training reads the same tokens in every epoch, so they are made once. A curated tar is a unit of work
and becomes one Parquet file.
"""

from __future__ import annotations

from typing import Any

from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_manifest
from infra.reporter import Reporter
from jobs.attempts import new_session, units_tried_again
from jobs.extract.figures import total_figures
from jobs.extract.outcome import catalogue
from jobs.extract.parts import remove_parts
from jobs.extract.pictures import decoded_back
from jobs.extract.plan import Plan, tar_units
from jobs.extract.read import CATALOGUE
from jobs.extract.unit import Extractor
from jobs.models import load_text, tokenizer_config
from jobs.specs import TokensSettings
from jobs.units import run_units
from model.tokenizer import TokenizerConfig

TOKENIZER = "tokenizer/joint"


def run(spec: JobSpec[TokensSettings], report: Reporter) -> Manifest:
    """Encode every curated document of the inputs, or say why not in the catalogue.

    Raises:
        UserError: the recipe does not fit the tokenizer, or a curated shard is damaged.
    """
    output = Output(spec.output)
    plan = _plan(spec, output)
    sizes = _check(plan)
    curated = [f for key, folders in sorted(spec.inputs.items()) if key != TOKENIZER for f in folders]
    units = tar_units(curated)
    receipts = run_units(
        output, units, Extractor, report, spec.resources, arguments=(plan,), noun="documents", tries=None
    )
    files = [output.publish_table(CATALOGUE, catalogue(spec.output, units, receipts))]
    files += [entry for receipt in receipts for entry in receipt.files]
    counts = sum((receipt.counts for receipt in receipts), Counts())
    shown = decoded_back(plan, units, receipts, report)
    remove_parts(output)
    manifest = output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=tuple(files),
            counts=counts,
            metadata=total_figures(receipts) | sizes | shown | plan.provenance(),
        )
    )
    return _with_history(manifest, output, report)


def _with_history(manifest: Manifest, output: Output, report: Reporter) -> Manifest:
    """The manifest with how many units were tried again: for those who look on, and in no published byte."""
    again = len(units_tried_again(output))
    if again:
        report.log(f"{again} units were tried more than once; see {output.uri}/attempts")
    if manifest.counts.errored:
        report.log(f"{manifest.counts.errored} documents errored; the catalogue says why")
    return manifest.model_copy(update={"metadata": manifest.metadata | {"units_tried_again": again}})


def _plan(spec: JobSpec[TokensSettings], output: Output) -> Plan:
    (tokenizer,) = spec.inputs.get(TOKENIZER, [None])
    hash_ = None if tokenizer is None else read_manifest(tokenizer).hash
    return Plan(output, tokenizer, hash_, spec.settings, spec.seed, new_session())


def _check(plan: Plan) -> dict[str, Any]:
    """Tell a recipe that does not fit its tokenizers from the start, and not once per document.

    Returns:
        How many ids either tokenizer has.
    """
    sizes = {"text_vocabulary": load_text(plan.settings.text_tokenizer).size}
    if plan.tokenizer is None:
        return sizes
    tokenizer = tokenizer_config(plan.tokenizer)
    _check_level(plan.settings, tokenizer)
    return sizes | {"codebook_size": tokenizer.codebook_size}


def _check_level(settings: TokensSettings, tokenizer: TokenizerConfig) -> None:
    assert settings.level is not None
    if settings.level.cell != tokenizer.stride:
        what = f"cells of {settings.level.cell} pixels, but the tokenizer's are of {tokenizer.stride}"
        raise UserError(what, f"levels.{settings.level_name}.cell", "Set it to the tokenizer's")
    if settings.tokens.self_correction.top_k > tokenizer.codebook_size:
        what = f"larger than the codebook of {tokenizer.codebook_size} codes"
        raise UserError(what, "tokens.self_correction.top_k", "Lower it")
