"""The evaluation job: pictures of fixed prompts, scored from their pixels where the truth is known.

A prompt is a unit of work: its samples are one batch, with seeds that depend on the prompt and the
recipe's seed alone, so a resumed run makes the pictures that the killed one would have made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from PIL import Image

from infra.catalogue import Counts
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, Receipt
from infra.reporter import Reporter
from jobs.evaluate.figures import figures
from jobs.evaluate.pictures import show
from jobs.generate import Generator, sample_seeds
from jobs.recipe import Evaluation
from jobs.scenes.prompts import fixed_prompts
from jobs.scenes.truth import Truth
from jobs.scenes.verify import verify
from jobs.specs import EvaluateSettings
from jobs.written import png_bytes

SCORES_SCHEMA = pa.schema(
    [
        ("prompt", pa.string()),
        ("tag", pa.string()),  # null where the truth is not known
        ("sample", pa.int32()),
        ("seed", pa.uint64()),
        ("clauses", pa.list_(pa.struct([("text", pa.string()), ("passed", pa.bool_())]))),
        ("score", pa.float64()),  # share of the clauses that hold
        ("passed", pa.bool_()),  # all of them hold
        ("path", pa.string()),
    ]
)


@dataclass(frozen=True)
class Case:
    """A prompt, its place, and what a picture of it must show, where that is known."""

    number: int
    prompt: str
    truth: Truth | None

    @property
    def name(self) -> str:
        """The unit's name, and the folder of its pictures: `007-a-red-circle`."""
        words = "".join(c if c.isascii() and c.isalnum() else " " for c in self.prompt.lower()).split()
        return "-".join([f"{self.number:03d}", *words])[:60]


def run(spec: JobSpec[EvaluateSettings], report: Reporter) -> Manifest:
    """Sample every prompt, score what can be scored, and show the pictures with their marks.

    Raises:
        UserError: an input holds no model, or the model has diverged.
    """
    output = Output(spec.output)
    cases = _cases(spec.settings.evaluation)
    receipts = _sample(spec, output, cases, report)
    rows = [row for receipt in receipts for row in receipt.metadata["rows"]]
    scores = output.publish_table("data/scores.parquet", pa.Table.from_pylist(rows, schema=SCORES_SCHEMA))
    for name, uri in show(output, rows, spec.asset.split("/")[1]).items():
        report.picture(name, uri)
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=(scores, *(f for r in receipts for f in r.files)),
            counts=sum((r.counts for r in receipts), Counts()),
            metadata=figures(rows),
        )
    )


def _cases(evaluation: Evaluation) -> list[Case]:
    """The recipe's prompts; only those of the embedded world come with their truth."""
    if evaluation.prompts == "scenes":
        return [Case(n, p.text, p.truth) for n, p in enumerate(fixed_prompts())]
    return [Case(n, text, None) for n, text in enumerate(evaluation.prompts)]


def _sample(
    spec: JobSpec[EvaluateSettings], output: Output, cases: Sequence[Case], report: Reporter
) -> list[Receipt]:
    """Do the prompts that no earlier run did; return all receipts in order."""
    receipts = output.receipts()
    report.progress(len(receipts), len(cases), "prompts")
    pending = [case for case in cases if case.name not in receipts]
    generator = _load(spec) if pending else None
    for case in pending:
        assert generator is not None
        receipts[case.name] = _do(case, generator, spec, output)
        report.progress(len(receipts), len(cases), "prompts")
    return [receipts[case.name] for case in cases]


def _load(spec: JobSpec[EvaluateSettings]) -> Generator:
    stage = spec.asset.split("/")[1]
    (checkpoint,), (tokenizer,) = spec.inputs[f"training/{stage}"], spec.inputs["tokenizer/decoder"]
    return Generator.load(checkpoint, tokenizer, spec.settings.level, spec.settings.model.text_tokenizer)


def _do(case: Case, generator: Generator, spec: JobSpec[EvaluateSettings], output: Output) -> Receipt:
    """Sample a prompt, publish its pictures and their scores."""
    evaluation = spec.settings.evaluation
    seeds = sample_seeds(spec.seed, case.prompt, evaluation.samples_per_prompt)
    images = generator.sample(case.prompt, seeds, evaluation.sampling)
    files: list[FileEntry] = []
    rows = []
    for number, (seed, image) in enumerate(zip(seeds, images, strict=True)):
        path = f"data/{case.name}/{number}.png"
        made_by = {"prompt": case.prompt, "seed": seed, "sampling": evaluation.sampling.model_dump()}
        files.append(output.publish(path, png_bytes(image, made_by)))
        row = {"prompt": case.prompt, "sample": number, "seed": seed, "path": path}
        rows.append(row | score(image, case.truth))
    counts = Counts(total=len(files), kept=len(files))
    receipt = Receipt(unit=case.name, files=tuple(files), counts=counts, metadata={"rows": rows})
    return output.finish_unit(receipt)


def score(image: Image.Image, truth: Truth | None) -> dict[str, Any]:
    """The columns of a picture's score; all null where the truth is not known."""
    if truth is None:
        return {"tag": None, "clauses": None, "score": None, "passed": None}
    verdict = verify(image, truth)
    return {
        "tag": truth.tag,
        "clauses": [{"text": clause.text, "passed": clause.passed} for clause in verdict.clauses],
        "score": verdict.score,
        "passed": verdict.passed,
    }
