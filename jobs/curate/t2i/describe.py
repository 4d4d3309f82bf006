"""What a vision-language model says of pictures: a caption for each, or why there is none.

The model sees the source's own picture and is told the source's caption, which may name what cannot be
seen. What it says is judged like any caption.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from infra import storage
from infra.catalogue import Counts
from infra.document import format_id
from infra.job import JobSpec
from infra.manifest import FileEntry, Output, Receipt, read_table
from infra.reporter import Reporter
from jobs.curate.captions import Verdict, judge_caption
from jobs.curate.parts import Part, Row
from jobs.curate.t2i.documents import read_originals
from jobs.recipe import Captions
from jobs.specs.t2i import CaptionSettings
from jobs.units import Unit, run_units
from jobs.vlm import Question, Reply, check_reached, merge_usage, open_vlm, usage
from jobs.vlm.answers import Caption

_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        ("text", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


def describe_drop(
    spec: JobSpec[CaptionSettings], units: list[Unit[Part]], report: Reporter
) -> tuple[dict[str, Verdict], list[FileEntry], dict[str, Any]]:
    """Ask about the pictures of some units, unit by unit.

    Returns:
        The verdict on each source's caption, the files that hold them, and what asking came to.

    Raises:
        UserError: nobody can be asked, or a picture changed since it was scored.
    """
    asked = [Unit(f"asked-{unit.name}", unit.payload, unit.size) for unit in units]
    output = Output(spec.output)
    arguments = (output, spec.settings, spec.cache)
    receipts = run_units(
        output, asked, Describer, report, spec.resources, arguments=arguments, noun="captions"
    )
    files = [file for receipt in receipts for file in receipt.files]
    rows = [row for file in files for row in read_table(storage.join(spec.output, file.path)).to_pylist()]
    verdicts = {row["source"]: (row["text"], row["reason"], row["detail"]) for row in rows}
    return verdicts, files, merge_usage(receipt.metadata for receipt in receipts)


class Describer:
    """A worker: keeps its connection to the model between units."""

    def __init__(self, output: Output, settings: CaptionSettings, cache: str | None) -> None:
        assert settings.vlm is not None
        self._output, self._settings = output, settings
        self._vlm = open_vlm(settings.vlm, cache)

    def __call__(self, unit: Unit[Part]) -> Receipt:
        """Publish `data/<unit>.parquet`."""
        limits, replies = self._settings.captions, list(self._vlm.ask(self._questions(unit.payload)))
        assert self._settings.vlm is not None
        check_reached(replies, self._settings.vlm)
        by_id = {format_id(row["sample_id"]): row for row in unit.payload.rows}
        rows = [
            {"source": by_id[reply.key]["source"], "text": text, "reason": reason, "detail": detail}
            for reply in replies
            for text, reason, detail in [judge_reply(reply, by_id[reply.key], limits)]
        ]
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        entry = self._output.publish_table(f"data/{unit.name}.parquet", table)
        counts = Counts(total=unit.size, kept=unit.size)
        spent = usage(replies, self._settings.vlm)
        return Receipt(unit=unit.name, files=(entry,), counts=counts, metadata=spent)

    def _questions(self, part: Part) -> Iterator[Question[Caption]]:
        for row, image in read_originals(part, self._settings.source):
            text, _, _ = judge_caption(row["caption"], row["caption_problem"], self._settings.captions)
            yield Question(
                key=format_id(row["sample_id"]),
                prompt="caption",
                answer=Caption,
                images=(image,),
                values={"caption": text or ""},
                own=Caption(caption=text) if text else None,
            )


def judge_reply(reply: Reply[Caption], row: Row, limits: Captions) -> Verdict:
    """The caption that a reply gives, or why it gives none."""
    if reply.answer is not None:
        return judge_caption(reply.answer.caption, None, limits)
    if reply.problem == "unreachable":
        return None, "vlm_unreachable", f"{reply.attempts} attempts"
    if reply.problem == "no_answer":  # of the source: because of what its caption is
        _, reason, detail = judge_caption(row["caption"], row["caption_problem"], limits)
        return None, reason or "vlm_no_answer", detail
    return None, f"vlm_{reply.problem}", None
