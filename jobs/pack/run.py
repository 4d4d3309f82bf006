"""The packing job: token files of a stage into `data/packs-*.parquet`, read in order by training.

The plan needs a few numbers per document and is made anew by every run; the packs files are the units
of work.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.pack.outcome import catalogue, counts, figures, fill_chart
from jobs.pack.payload import TokenFile, find_files, read_columns
from jobs.pack.plan import Plan, make_plan
from jobs.pack.write import publish_packs
from jobs.schemas import PACKS_SCHEMA, read_provenance, read_schedules, with_metadata
from jobs.specs import PackSettings


def run(spec: JobSpec[PackSettings], report: Reporter) -> Manifest:
    """Pack every document of the inputs once, or say why not in the catalogue.

    Raises:
        UserError: a family of the mixture has no documents, none fits a pack, or different tokenizers
            made the inputs.
    """
    output = Output(spec.output)
    files = find_files([folder for name in sorted(spec.inputs) for folder in spec.inputs[name]])
    plan = _plan(files, spec)
    receipts = publish_packs(output, files, plan, _schema(files, spec), report)
    packs = [entry for receipt in receipts for entry in receipt.files]
    rejects = output.publish_table("data/catalogue.parquet", catalogue(plan, files))
    report.picture("fill", output.picture("fill", fill_chart(plan)))
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=(rejects, *packs),
            counts=counts(plan),
            metadata=figures(plan) | {"bytes": sum(entry.bytes for entry in packs)},
        )
    )


def _plan(files: Sequence[TokenFile], spec: JobSpec[PackSettings]) -> Plan:
    """The plan, or one line on why there is none."""
    documents = read_columns(files)
    mixture = {family: weight for family, weight in spec.settings.mixture.items() if weight > 0}
    place = f"packing of stage {spec.settings.stage_name!r}"
    if missing := sorted(mixture.keys() - set(documents.family.tolist())):
        raise UserError(
            f"there are no documents of {', '.join(missing)}", place, "See what curation rejected"
        )
    plan = make_plan(documents, spec.settings.packing, mixture, spec.seed)
    if not plan.packs:
        reasons = ", ".join(f"{n} {reason}" for reason, n in counts(plan).rejected.items())
        raise UserError(f"no document can be packed: {reasons or 'no weights'}", place, "Raise max_tokens")
    return plan


def _schema(files: Sequence[TokenFile], spec: JobSpec[PackSettings]) -> pa.Schema:
    """The schema of the packs, with the schedules of all inputs and the one tokenizer behind them."""
    schemas = []
    for file in files:
        with storage.open_input(file.uri) as stream:
            schemas.append(pq.read_schema(stream))
    schedules = {name: s for schema in schemas for name, s in read_schedules(schema).items()}
    tokenizers = {read_provenance(schema)["tokenizer"] for schema in schemas}
    if len(tokenizers) != 1:
        raise UserError(
            "different tokenizers made the tokens", spec.settings.stage_name, "Extract them again"
        )
    provenance = {
        "stage": spec.settings.stage_name,
        "seed": spec.seed,
        "tokenizer": tokenizers.pop(),
        "text_tokenizer": spec.settings.model.text_tokenizer,
    }
    return with_metadata(PACKS_SCHEMA, schedules.values(), provenance)
