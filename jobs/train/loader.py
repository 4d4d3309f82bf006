"""Packs as what the transformer reads: batches of one sequence, with captions dropped by chance.

Every choice is a function of the seed, the epoch and the sample, so a resumed run reads the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from jobs.readers import PackReader
from jobs.schemas import DocumentTokens
from jobs.train.order import PackOrder
from model.scales import ScaleSchedule
from model.transformer.config import TransformerConfig
from model.transformer.layout import ImagePart, PackedBatch, Part, TextPart, pack


@dataclass(frozen=True)
class Batching:
    """How packs become batches.

    `length` pads every batch to one number of positions, for compiled kernels; None pads nothing.
    """

    config: TransformerConfig
    caption_dropout: float
    scale_reweight: float
    length: int | None


class PackLoader:
    """The batches of one process. It holds no state: a step number says it all."""

    def __init__(self, reader: PackReader, order: PackOrder, rank: int, batching: Batching) -> None:
        self._reader = reader
        self._order = order
        self._rank = rank
        self._batching = batching
        self._schedules = reader.schedules()

    def packs(self, step: int) -> list[int]:
        """Numbers of the packs of a step."""
        return [slot.pack for slot in self._order.slots(step, self._rank)]

    def batches(self, step: int) -> list[PackedBatch]:
        """The batches of a step: one sequence for each pack."""
        return [self._batch(slot.epoch, slot.pack) for slot in self._order.slots(step, self._rank)]

    def _batch(self, epoch: int, number: int) -> PackedBatch:
        how = self._batching
        documents = []
        for document in self._reader[number]:
            chance = drop_chance(self._order.seed, epoch, document.sample_id, document.repeat)
            documents.append(to_parts(document, self._schedules, drop=chance < how.caption_dropout))
        return pack(documents, how.config, how.length, how.scale_reweight)


def drop_chance(seed: int, epoch: int, sample_id: int, repeat: int = 0) -> float:
    """A number in [0, 1) for a sample in an epoch; below the dropout rate its caption is left out."""
    key = b"".join(value.to_bytes(8, "little", signed=False) for value in (seed, epoch, sample_id, repeat))
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") / 2**64


def to_parts(document: DocumentTokens, schedules: dict[str, ScaleSchedule], drop: bool = False) -> list[Part]:
    """A tokenized document as parts of a packed sequence. `drop` leaves its text out.

    Only documents with an image to predict have a caption to drop: an answer about a picture stays.
    """
    draws = any(segment.kind == "image" and segment.loss for segment in document.segments)
    parts: list[Part] = []
    for segment in document.segments:
        if segment.kind == "image":
            schedule = schedules[segment.schedule]
            parts.append(ImagePart(schedule, segment.inputs, segment.targets, segment.loss))
        elif not (drop and draws):
            parts.append(TextPart(segment.ids, segment.loss))
    return parts
