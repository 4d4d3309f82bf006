"""The packing job: token files of a stage into `data/packs-*.parquet`, read in order by training.

First every document is planned by a few numbers (`plan.py`), then the rows of the token files are moved
to their packs (`split.py`, `write.py`). Every step is made of units with receipts, none of which holds
more than a bounded share, so the same code packs a hundred documents and billions.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt
from infra.reporter import Reporter
from jobs.models import load_text, tokenizer_config, transformer_config
from jobs.pack.exchange import WORK
from jobs.pack.figures import compare_packers, comparison, pack_figures, sample_packs
from jobs.pack.inputs import count_documents, find_files
from jobs.pack.plan import Plan, Request, make_plan
from jobs.pack.records import Cost
from jobs.pack.split import Split, split
from jobs.pack.steps import Steps, receipt
from jobs.pack.write import Write, bucket_packs, write
from jobs.pictures.packing import pack_fill, packer_bars
from jobs.schemas import PACKS_SCHEMA, SCHEDULES_KEY, with_metadata
from jobs.specs import PackSettings
from model.transformer.cost import CostModel

TOKENIZER = "tokenizer/joint"

_ALL = "packing"
"""The receipt of the whole: what the manifest says, kept while intermediate files are removed."""


def run(spec: JobSpec[PackSettings], report: Reporter) -> Manifest:
    """Pack every document of the inputs, or say why not in the catalogue.

    Raises:
        UserError: a family of the mixture has no documents, none fits a pack, or different tokenizers
            made the inputs.
    """
    output = Output(spec.output)
    try:
        whole = output.receipts().get(_ALL) or output.finish_unit(_pack(spec, output, report))
    except UserError:
        # Another run that packs the same may have finished, and removed what is between the steps.
        if (found := output.receipts().get(_ALL)) is None:
            raise
        whole = found
    storage.remove(storage.join(output.uri, WORK))
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=whole.files,
            counts=whole.counts,
            metadata=whole.metadata,
        )
    )


def cost_model(settings: PackSettings, tokenizer: str) -> Cost:
    """What documents cost the recipe's model, with the vocabularies of its text and image tokenizers."""
    text = load_text(settings.model.text_tokenizer)
    config = transformer_config(settings.model, text, tokenizer_config(tokenizer))
    made = CostModel.of(config, settings.packing.attention_cost)
    return Cost(made.per_position, made.per_pair)


def _pack(spec: JobSpec[PackSettings], output: Output, report: Reporter) -> Receipt:
    """Do every step; a receipt with all published files."""
    plan = make_plan(_request(spec), output, report, spec.resources)
    schema = _schema(plan, spec)
    counts = sum((listed.counts for listed in plan.listed), Counts())
    if not counts.kept:
        reasons = ", ".join(f"{n} {reason}" for reason, n in counts.rejected.items())
        mend = "Raise max_tokens"
        if "forgotten" in counts.rejected:
            mend = "All that fit a pack are forgotten: take the stage out of the recipe, or add data"
        raise UserError(f"no document can be packed: {reasons}", _place(spec), mend)
    written = _move(plan, schema, Steps(output, report, spec.resources))
    packs = [entry for one in written for entry in one.files]
    files = [*(entry for one in plan.listed for entry in one.files), *packs]
    figures = _figures(plan, spec, output, report) | {"bytes": sum(entry.bytes for entry in packs)}
    return receipt(_ALL, *files, counts=counts, **figures)


def _request(spec: JobSpec[PackSettings]) -> Request:
    folders = [folder for name in sorted(spec.inputs) if name != TOKENIZER for folder in spec.inputs[name]]
    (tokenizer,) = spec.inputs[TOKENIZER]
    return Request(
        files=find_files(folders),
        documents=count_documents(folders),
        packing=spec.settings.packing,
        mixture={family: weight for family, weight in spec.settings.mixture.items() if weight > 0},
        cost=cost_model(spec.settings, tokenizer),
        seed=spec.seed,
        forgotten=spec.settings.forgotten,
        place=_place(spec),
    )


def _place(spec: JobSpec[PackSettings]) -> str:
    return f"packing of stage {spec.settings.stage_name!r}"


def _move(plan: Plan, schema: pa.Schema, steps: Steps) -> list[Receipt]:
    """Move the rows of the token files to their packs."""
    size = bucket_packs(plan.limits.tokens)
    buckets = -(-int(plan.first_packs[-1]) // size)
    splits = [Split(plan.context, n, files, size, buckets) for n, files in enumerate(plan.groups)]
    steps.do("split", splits, split)
    return steps.do("packs", [Write(plan.context, n, buckets, schema) for n in range(buckets)], write)


def _schema(plan: Plan, spec: JobSpec[PackSettings]) -> pa.Schema:
    """The schema of the packs, with the schedules of all inputs and the one tokenizer behind them.

    Raises:
        UserError: several tokenizers made the inputs.
    """
    tokenizers = sorted({name for one in plan.scattered for name in one.metadata["tokenizers"]})
    if len(tokenizers) > 1:
        raise UserError(
            "different tokenizers made the tokens", spec.settings.stage_name, "Extract them again"
        )
    schedules: dict[str, Any] = {}
    for one in plan.scattered:
        for text in one.metadata["schedules"]:
            schedules |= json.loads(text)
    provenance = {
        "stage": spec.settings.stage_name,
        "seed": spec.seed,
        "tokenizer": next(iter(tokenizers), None),
        "text_tokenizer": spec.settings.model.text_tokenizer,
    }
    schema = with_metadata(PACKS_SCHEMA, [], provenance)
    named = json.dumps(schedules, sort_keys=True).encode()
    return schema.with_metadata(schema.metadata | {SCHEDULES_KEY: named})


def _figures(plan: Plan, spec: JobSpec[PackSettings], output: Output, report: Reporter) -> dict[str, Any]:
    """The figures of the packs and of other packers, and their pictures."""
    context, limits, ranks = plan.context, plan.limits, spec.settings.packs_per_step
    packs = sample_packs(context)
    figures = pack_figures(context, limits, ranks) | {
        "windows": context.windows,
        "budget_cost": limits.cost,
        "cost_per_position": context.cost.per_position,
        "cost_per_pair": context.cost.per_pair,
    }
    fill = pack_fill(packs["tokens"].sum(1), packs["cost"], limits.tokens, limits.cost)
    _show("fill", fill, output, report)
    if others := compare_packers(context, limits, ranks, spec.seed):
        figures["packers"] = comparison(others)
        _show("packers", packer_bars(figures["packers"], ranks), output, report)
    return figures


def _show(name: str, png: bytes, output: Output, report: Reporter) -> None:
    report.picture(name, output.picture(name, png))
