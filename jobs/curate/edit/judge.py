"""edit/judged: for every edit its task, and whether the picture after follows the instruction.

Verdict, score and reason are stored for each sample; which edits are bad is decided later, by the recipe's
threshold. Only edits that nobody could judge are rejected here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from infra import storage
from infra.catalogue import count
from infra.document import format_id
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt, read_table
from infra.reporter import Reporter
from jobs.curate.edit.documents import read_again
from jobs.curate.edit.figures import judged_figures
from jobs.curate.edit.measured import judged_by, measured_verdict, task_of_truth
from jobs.curate.edit.tasks import task_by_words
from jobs.curate.parts import Part, Row, plan_units
from jobs.curate.stage import commit, count_rows, kept_rows, only_input, publish_stage, read_catalogue
from jobs.recipe.curation.edit import TASKS
from jobs.recipe.vlm import SourceText, VlmSettings
from jobs.sources import EditRecord
from jobs.sources.shards import read_shards
from jobs.specs.edit import EditJudgeSettings
from jobs.units import Unit, run_units
from jobs.vlm import Question, Reply, check_reached, open_vlm, usage
from jobs.vlm.answers import EditTask, EditVerdict
from jobs.vlm.usage import merge_usage

OTHER = "other"
"""The task where nobody can say one."""

VERDICTS_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("task", pa.string()),
        ("task_by", pa.string()),  # source | truth | words | the model
        ("follows", pa.bool_()),
        ("score", pa.int32()),  # 0 to 10
        ("verdict", pa.string()),  # the judge's reason
        ("judge", pa.string()),  # truth | measured | the model
    ]
)


def run(spec: JobSpec[EditJudgeSettings], report: Reporter) -> Manifest:
    """Judge the kept edits of the drop, shard by shard."""
    output = Output(spec.output)
    folder = only_input(spec, "edit/size_matched")
    kept = kept_rows(read_catalogue(folder))
    units = plan_units(kept.to_pylist(), read_shards(folder), None)
    arguments = (output, spec.settings, spec.cache)
    receipts = run_units(output, units, Judge, report, spec.resources, arguments=arguments, noun="edits")
    made = [file for receipt in receipts for file in receipt.files]
    catalogue = _join(kept, [read_table(storage.join(spec.output, file.path)) for file in made])
    files = publish_stage(output, catalogue, folder)
    figures = judged_figures(catalogue)
    if not isinstance(spec.settings.judge, SourceText) or not isinstance(spec.settings.tasks, SourceText):
        figures["vlm"] = merge_usage(receipt.metadata["usage"] for receipt in receipts)
    return commit(spec, [*files, *made], count_rows(catalogue), figures)


class Judge:
    """A worker: reads the edits of a shard again, and asks about each."""

    def __init__(self, output: Output, settings: EditJudgeSettings, cache: str | None) -> None:
        self._output, self._settings = output, settings
        self._judge = open_vlm(settings.judge, cache)
        self._classify = open_vlm(settings.tasks, cache)

    def __call__(self, unit: Unit[Part]) -> Receipt:
        """Publish `data/<shard>.verdicts.parquet`."""
        tasks, task_usage = self._tasks(unit.payload.rows)
        replies = list(self._judge.ask(self._questions(unit.payload)))
        check_reached(replies, self._settings.judge)
        by_key = {format_id(row["sample_id"]): row for row in unit.payload.rows}
        rows = [self._row(by_key[reply.key], tasks[reply.key], reply) for reply in replies]
        table = pa.Table.from_pylist(rows, schema=VERDICTS_SCHEMA).sort_by("source")
        entry = self._output.publish_table(f"data/{unit.name}.verdicts.parquet", table)
        spent = merge_usage([task_usage, _spent(replies, self._settings.judge)])
        counts = count(len(rows), ((row["status"], row.get("reason")) for row in rows))
        return Receipt(unit=unit.name, files=(entry,), counts=counts, metadata={"usage": spent})

    def _tasks(self, rows: tuple[Row, ...]) -> tuple[dict[str, tuple[str, str]], dict[str, Any]]:
        """Task and who says so, by key, and what asking came to."""
        known = {format_id(row["sample_id"]): _known_task(row) for row in rows}
        unknown = {format_id(row["sample_id"]): row["instruction"] for row in rows}
        questions = (_task_question(key, unknown[key]) for key, task in known.items() if task is None)
        replies = list(self._classify.ask(questions))
        check_reached(replies, self._settings.tasks)
        asked = {reply.key: _asked_task(reply, unknown[reply.key], self._settings.tasks) for reply in replies}
        found = {key: task or asked[key] for key, task in known.items()}
        return found, _spent(replies, self._settings.tasks)

    def _questions(self, part: Part) -> Iterator[Question[EditVerdict]]:
        for row, record in read_again(part, self._settings.source):
            yield Question(
                format_id(row["sample_id"]),
                "edit_judge",
                EditVerdict,
                images=(record.inputs[row["compared"]], record.output or b""),
                values={"instruction": row["instruction"]},
                own=self._measure(row, record),
                max_pixels=max(w * h for w, h in zip(row["width"], row["height"], strict=True)),
            )

    def _measure(self, row: Row, record: EditRecord) -> EditVerdict | None:
        if not isinstance(self._settings.judge, SourceText):
            return None  # a model is asked, who does not see it
        return measured_verdict(row, record)

    def _row(self, row: Row, task: tuple[str, str], reply: Reply[EditVerdict]) -> dict[str, Any]:
        known = {"source": row["source"], "task": task[0], "task_by": task[1]}
        if reply.answer is None:
            if reply.problem == "unreachable":
                detail = f"{reply.attempts} attempts"
                return known | {"status": "errored", "reason": "vlm_unreachable", "detail": detail}
            return known | {"status": "rejected", "reason": f"vlm_{reply.problem}"}
        answer, judge = reply.answer, _name(self._settings.judge, judged_by(row["truth"]))
        found = {"follows": answer.follows, "score": answer.score, "verdict": answer.reason, "judge": judge}
        return known | found | {"status": "kept"}


def _known_task(row: Row) -> tuple[str, str] | None:
    """What the source says, by its own word or by the truth of a drawn scene."""
    if row["source_task"] in TASKS:
        return row["source_task"], "source"
    task = task_of_truth(row["truth"])
    return (task, "truth") if task else None


def _task_question(key: str, instruction: str) -> Question[EditTask]:
    task = task_by_words(instruction)
    own = EditTask(task=task) if task else None
    return Question(key, "edit_task", EditTask, values={"instruction": instruction}, own=own)


def _asked_task(reply: Reply[EditTask], instruction: str, settings: VlmSettings) -> tuple[str, str]:
    """The answer; where there is none, what the words say."""
    if reply.answer is not None:
        return reply.answer.task, _name(settings, "words")
    return task_by_words(instruction) or OTHER, "words"


def _spent(replies: list[Reply[Any]], settings: VlmSettings) -> dict[str, Any]:
    """What asking a model came to; nothing where none was asked."""
    return usage([] if isinstance(settings, SourceText) else replies, settings)


def _name(settings: VlmSettings, own: str) -> str:
    return own if isinstance(settings, SourceText) else settings.model


def _join(kept: pa.Table, verdicts: list[pa.Table]) -> pa.Table:
    """The catalogue with the columns of the verdicts; both are of the same records."""
    found = pa.concat_tables([VERDICTS_SCHEMA.empty_table(), *verdicts]).sort_by("source")
    assert found["source"].equals(kept["source"])
    for name in VERDICTS_SCHEMA.names:
        place = kept.schema.get_field_index(name)
        kept = (
            kept.append_column(name, found[name]) if place < 0 else kept.set_column(place, name, found[name])
        )
    return kept
