"""understanding/written: curated pictures with questions and answers, tar by tar.

Every picture of the drop gets one task at most: text in it is asked about, its caption is rewritten, a
question of knowledge is asked, or its text-to-image document is turned round (a tenth of them).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from infra import storage
from infra.catalogue import BASE_FIELDS, count
from infra.document import Document, ImageSegment, Segment, TextSegment, format_id, sample_id
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, Receipt, read_table
from infra.reporter import Reporter
from jobs.curate.stage import CATALOGUE, commit, count_rows, kept_rows, only_input, read_catalogue
from jobs.curate.understanding import FAMILY
from jobs.curate.understanding.pictures import show_written
from jobs.curate.understanding.read import tar_units
from jobs.curate.understanding.tasks import FoundText, Task, choose_task, question_of, turns_of
from jobs.curated import Media, iter_unit, tar_bytes
from jobs.specs.understanding import WriteSettings
from jobs.units import Unit, run_units
from jobs.vlm import Question, Reply, check_reached, open_vlm, usage
from jobs.vlm.answers import Answer
from jobs.vlm.usage import merge_usage

_SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("unit", pa.string()),
        ("task", pa.string()),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("parent", pa.uint64()),  # the text-to-image document
    ]
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know."""

    output: Output
    captioned: str
    read: str | None
    settings: WriteSettings
    seed: int
    cache: str | None


@dataclass(frozen=True)
class Picture:
    """A curated picture with its task."""

    document: Document
    media: Media
    task: Task | None
    question: Question[Any] | None


def run(spec: JobSpec[WriteSettings], report: Reporter) -> Manifest:
    """Ask about the pictures of the drop and publish the documents."""
    output = Output(spec.output)
    captioned = only_input(spec, "t2i/captioned")
    read = only_input(spec, "understanding/read") if spec.settings.text_rich else None
    plan = Plan(output, captioned, read, spec.settings, spec.seed, spec.cache)
    units = tar_units(captioned)
    receipts = run_units(output, units, Writer, report, spec.resources, arguments=(plan,), noun="pictures")
    files = [file for receipt in receipts for file in receipt.files]
    tables = [read_table(storage.join(spec.output, f.path)) for f in files if f.path.endswith(".parquet")]
    catalogue = pa.concat_tables([_SCHEMA.empty_table(), *tables]).sort_by("source")
    show_written(output, report, catalogue, [f.path for f in files if f.path.endswith(".tar")])
    figures = {
        "tasks": dict(sorted(Counter(kept_rows(catalogue)["task"].to_pylist()).items())),
        "vlm": merge_usage(receipt.metadata["vlm"] for receipt in receipts),
    }
    entry = output.publish_table(CATALOGUE, catalogue)
    return commit(spec, [entry, *files], count_rows(catalogue), figures)


class Writer:
    """A worker: keeps its connection to the model between tars."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._vlm = open_vlm(plan.settings.vlm, plan.cache)
        self._found = _read_texts(plan.read)

    def __call__(self, unit: Unit[FileEntry]) -> Receipt:
        """Publish the documents and the rows of one tar."""
        documents: list[tuple[Document, Media]] = []
        rows: list[Row] = []
        replies: list[Reply[Any]] = []
        for picture, reply in self._answered(unit.payload.path):
            row = {"unit": unit.name, "parent": picture.document.sample_id, **self._row(picture, reply)}
            if row["status"] == "kept":
                document = _document(picture, row)
                documents.append((document, picture.media))
                row["sample_id"] = document.sample_id
            rows.append(row)
            replies += [reply] if reply else []
        check_reached(replies, self._plan.settings.vlm)
        output = self._plan.output
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        entries = (
            output.publish(f"data/{unit.name}.tar", tar_bytes(documents), len(documents)),
            output.publish_table(f"data/{unit.name}.rows.parquet", table),
        )
        counts = count(len(rows), [(row["status"], row["reason"]) for row in rows])
        metadata = {"vlm": usage(replies, self._plan.settings.vlm)}
        return Receipt(unit=unit.name, files=entries, counts=counts, metadata=metadata)

    def _answered(self, tar: str) -> Iterator[tuple[Picture, Reply[Any] | None]]:
        """Every picture in the order of its tar, with the reply to its question if it has one."""
        waiting: deque[Picture] = deque()

        def questions() -> Iterator[Question[Any]]:
            for document, media in iter_unit(self._plan.captioned, tar):
                waiting.append(self._picture(document, media))
                if (question := waiting[-1].question) is not None:
                    yield question

        for reply in self._vlm.ask(questions()):
            while waiting[0].question is None:
                yield waiting.popleft(), None
            yield waiting.popleft(), reply
        while waiting:
            yield waiting.popleft(), None

    def _picture(self, document: Document, media: Media) -> Picture:
        found = self._found.get(document.sample_id)
        task = choose_task(document.sample_id, found, self._plan.settings, self._plan.seed)
        question = question_of(document, task, next(iter(media.values())), found) if task else None
        return Picture(document, media, task, question)

    def _row(self, picture: Picture, reply: Reply[Any] | None) -> Row:
        source = picture.document.metadata["source"]
        row: Row = {"source": source, "task": picture.task, "status": "kept", "reason": None}
        row["sample_id"] = sample_id(FAMILY, [b"", source.encode()])
        if picture.task is None:
            return row | {"status": "rejected", "reason": "not_chosen"}
        if reply is not None and reply.answer is None:
            return row | _problem(reply)
        answer: Answer | None = reply.answer if reply else None
        question, text = turns_of(picture.document, answer, self._plan.seed)
        return row | {"question": question, "answer": text}


def _problem(reply: Reply[Any]) -> Row:
    """The fate of a question without an answer: asking an unreachable server later may help."""
    if reply.problem == "unreachable":
        return {"status": "errored", "reason": "vlm_unreachable", "detail": f"{reply.attempts} attempts"}
    reason = "no_answer" if reply.problem == "no_answer" else f"vlm_{reply.problem}"
    return {"status": "rejected", "reason": reason}


def _document(picture: Picture, row: Row) -> Document:
    """The picture, then what is asked, then the answer, which alone is learnt."""
    (image,) = (part for part in picture.document.segments if isinstance(part, ImageSegment))
    parts = [FAMILY.encode(), row["task"].encode(), row["question"].encode(), row["answer"].encode()]
    id_ = sample_id(FAMILY, [*parts, image.sha256.encode()])
    segments: list[Segment] = [image.model_copy(update={"loss": False})]
    segments += [TextSegment(text=row["question"], loss=False)] if row["question"] else []
    metadata = {
        "source": row["source"],
        "task": row["task"],
        "topic": picture.document.metadata.get("topic"),
        "parents": [format_id(picture.document.sample_id)],
    }
    return Document(
        sample_id=id_,
        family=FAMILY,
        segments=(*segments, TextSegment(text=row["answer"])),
        metadata=metadata,
    )


def _read_texts(folder: str | None) -> dict[int, FoundText]:
    """What was read, by the id of the text-to-image document."""
    if folder is None:
        return {}
    columns = ("sample_id", "found_text", "characters", "confidence")
    rows = read_catalogue(folder).select(columns).to_pylist()
    return {
        row["sample_id"]: FoundText(row["found_text"], row["characters"], row["confidence"])
        for row in rows
        if row["characters"]
    }
