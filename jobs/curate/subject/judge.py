"""One unit of candidates: pictures read once more, each pair asked about, the confirmed ones written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from infra.document import format_id
from infra.manifest import Output, Receipt
from jobs.curate.captions import judge_caption, normalise
from jobs.curate.parts import Part as OfShard
from jobs.curate.stage import count_rows, reject
from jobs.curate.subject.documents import Likeness, instruction, pair_document
from jobs.curate.subject.own import Own, Told, own_verdict
from jobs.curate.subject.units import Part
from jobs.curate.subject.words import SubjectWords
from jobs.curate.t2i.documents import read_originals
from jobs.curated import tar_bytes
from jobs.recipe import Captions
from jobs.recipe.vlm import SourceText
from jobs.specs.subject import ConfirmSettings
from jobs.units import Unit
from jobs.vlm import Question, Reply, check_reached, open_vlm, usage
from jobs.vlm.answers import SubjectVerdict

Row = dict[str, Any]
Images = dict[str, bytes]
"""Original bytes by source."""

SUFFIX = ".verdicts.parquet"
PROMPT = "subject_match"

_CAPTIONS = Captions()
"""Limits of captions that stand in instructions."""

_TOLD = pa.schema(
    [(name, pa.string()) for name in ("source", "subject", "subject_type", "instruction", "unit")]
)
VERDICTS = reject(_TOLD.empty_table(), [], []).schema


class ConfirmWorker:
    """A worker: built once, called with units."""

    def __init__(self, output: Output, settings: ConfirmSettings, cache: str | None) -> None:
        self._output, self._settings = output, settings
        self._vlm = open_vlm(settings.vlm, cache)
        self._words = SubjectWords(settings.words)

    def __call__(self, unit: Unit[Part]) -> Receipt:
        """Publish `data/<unit>.verdicts.parquet`, and `data/<unit>.tar` where a pair is confirmed.

        Raises:
            UserError: the source no longer has what was scored, or nobody can answer.
        """
        part, images = unit.payload, self._read(unit.payload)
        own = [self._own(pair, part, images) for pair in part.pairs]
        questions = (_question(pair, part, images, one) for pair, one in zip(part.pairs, own, strict=True))
        replies = list(self._vlm.ask(questions))
        check_reached(replies, self._settings.vlm)
        verdicts = self._verdicts(unit, replies, own)
        files = [self._output.publish_table(f"data/{unit.name}{SUFFIX}", verdicts)]
        documents = [
            pair_document(pair | told, part.pictures, images)
            for pair, told in zip(part.pairs, verdicts.to_pylist(), strict=True)
            if told["status"] == "kept"
        ]
        if documents:
            entry = self._output.publish(f"data/{unit.name}.tar", tar_bytes(documents), len(documents))
            files.append(entry)
        spent = usage(replies, self._settings.vlm)
        return Receipt(unit=unit.name, files=tuple(files), counts=count_rows(verdicts), metadata=spent)

    def _read(self, part: Part) -> Images:
        images: Images = {}
        for shard in part.shards:
            rows = tuple(row for row in part.pictures.values() if row["shard"] == shard.name)
            originals = read_originals(OfShard(shard, rows), self._settings.source)
            images |= {row["source"]: image for row, image in originals}
        return images

    def _own(self, pair: Row, part: Part, images: Images) -> Own | None:
        """The source's verdict, where it is the source that is asked."""
        if not isinstance(self._settings.vlm, SourceText):
            return None
        rows = [part.pictures[pair[side]] for side in ("reference", "target")]
        told = [
            Told(images[row["source"]], _pixels(row), row["caption"], row["truth"], row["group"])
            for row in rows
        ]
        return own_verdict(told[0], told[1], self._words)

    def _verdicts(
        self, unit: Unit[Part], replies: Sequence[Reply[SubjectVerdict]], own: Sequence[Own | None]
    ) -> pa.Table:
        """A row of VERDICTS for each pair, in their order."""
        found = [judge_reply(*pair) for pair in zip(replies, own, strict=True)]
        rows: list[Row] = []
        for pair, reply, told, (reason, _) in zip(unit.payload.pairs, replies, own, found, strict=True):
            row: Row = {"source": pair["source"]}
            if reason is None and reply.answer is not None:
                target = unit.payload.pictures[pair["target"]]
                row |= _told(reply.answer, told, target, pair["sample_id"]) | {"unit": unit.name}
            rows.append(row)
        table = pa.Table.from_pylist(rows, schema=_TOLD)
        return reject(table, [reason for reason, _ in found], [detail for _, detail in found])


def judge_reply(reply: Reply[SubjectVerdict], own: Own | None) -> tuple[str | None, str | None]:
    """The reason for the rejection of a pair and its detail, or neither."""
    answer = reply.answer
    if answer is None:
        detail = f"{reply.attempts} attempts" if reply.problem == "unreachable" else None
        return f"vlm_{reply.problem}", detail
    if own is not None and own.reason is not None:
        return own.reason, own.detail
    if not answer.shared or answer.kind == "none":
        return "no_shared_subject", None
    if not normalise(answer.subject):
        return "subject_unnamed", f"of type {answer.kind}"
    return None, None


def _question(pair: Row, part: Part, images: Images, own: Own | None) -> Question[SubjectVerdict]:
    sides = (pair["reference"], pair["target"])
    return Question(
        key=format_id(pair["sample_id"]),
        prompt=PROMPT,
        answer=SubjectVerdict,
        images=tuple(images[side] for side in sides),
        own=own.verdict if own else None,
        max_pixels=max(_pixels(part.pictures[side]) for side in sides),
    )


def _pixels(picture: Row) -> int:
    """Width times height, as scored."""
    return int(picture["width"] * picture["height"])


def _told(answer: SubjectVerdict, own: Own | None, target: Row, lot: int) -> Row:
    """What the document of a confirmed pair says. A caption that is no use is left out."""
    caption, _, _ = judge_caption(target["caption"], target["caption_problem"], _CAPTIONS)
    likeness: Likeness = "same" if own is None or own.same else "alike"
    if answer.kind == "style":
        likeness = "style"
    return {
        "subject": normalise(answer.subject),
        "subject_type": answer.kind,
        "instruction": instruction(answer.subject, likeness, caption, lot),
    }
