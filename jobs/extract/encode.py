"""One curated document into a row of tokens.

Pictures are encoded one at a time on one CPU thread: sums of floats depend on the size of a batch and
the number of threads, and one changed bit can choose another code. So a document's row is a pure
function of the document, the tokenizer, the level and the seed, whatever else is extracted beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infra.document import Document, ImageSegment, TextSegment
from jobs.curated import Media
from jobs.images import DecodeError, decode, fit
from jobs.recipe import SelfCorrection
from jobs.schemas import DocumentTokens, SegmentTokens, to_row
from jobs.tensors import to_tensor
from model.scales import ScaleSchedule, nearest
from model.text import TextTokenizer
from model.tokenizer import Correction, ImageTokenizer
from model.transformer.config import TransformerConfig
from model.transformer.cost import document_flops
from model.transformer.layout import ImagePart, Part, TextPart, position_count


@dataclass(frozen=True)
class Encoder:
    """Everything that decides what a document becomes."""

    tokenizer: ImageTokenizer
    text: TextTokenizer
    transformer: TransformerConfig
    schedules: tuple[ScaleSchedule, ...]
    correction: SelfCorrection
    level: str
    seed: int

    def row(self, document: Document, media: Media) -> dict[str, Any]:
        """A document as a row of TOKENS_SCHEMA.

        Raises:
            DecodeError: a picture is not the one that curation checked, or cannot be decoded.
        """
        segments: list[SegmentTokens] = []
        parts: list[Part] = []
        generator = self._generator(document.sample_id)
        for segment in document.segments:
            if isinstance(segment, TextSegment):
                tokens, part = self._text(segment)
            else:
                tokens, part = self._image(segment, media[segment.member], generator)
            segments.append(tokens)
            parts.append(part)
        flops = document_flops(parts, self.transformer)
        made = DocumentTokens(document.sample_id, document.family, tuple(segments))
        return to_row(made, position_count(parts, self.transformer), flops)

    def _text(self, segment: TextSegment) -> tuple[SegmentTokens, Part]:
        ids = np.array(self.text.encode(segment.text), np.uint32)
        return SegmentTokens("text", segment.loss, ids), TextPart(ids, segment.loss)

    def _image(
        self, segment: ImageSegment, data: bytes, generator: torch.Generator
    ) -> tuple[SegmentTokens, Part]:
        if hashlib.sha256(data).hexdigest() != segment.sha256:
            raise DecodeError("checksum", f"{segment.member} is not the picture that curation stored")
        picture = decode(data)
        schedule = nearest(self.schedules, *picture.size)
        pixels_BCHW = to_tensor([fit(picture, schedule.width, schedule.height)])
        correction = Correction(**self.correction.model_dump())
        targets_BN, inputs_BN = self.tokenizer.encode_corrected(
            pixels_BCHW, schedule, correction, [generator]
        )
        targets, inputs = (codes_BN[0].numpy().astype(np.uint16) for codes_BN in (targets_BN, inputs_BN))
        tokens = SegmentTokens("image", segment.loss, schedule=schedule.name, targets=targets, inputs=inputs)
        return tokens, ImagePart(schedule, inputs, targets, segment.loss)

    def _generator(self, sample_id: int) -> torch.Generator:
        """The draws of one sample: a function of the sample, the seed and the level alone."""
        key = f"{sample_id}/{self.seed}/{self.level}".encode()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def changed_by_scale(rows: Sequence[dict[str, Any]], schedules: Sequence[ScaleSchedule]) -> list[list[int]]:
    """For each scale, how many inputs differ from their targets, and how many inputs there are."""
    by_name = {schedule.name: schedule for schedule in schedules}
    totals = np.zeros((max(len(s.grids) for s in schedules), 2), np.int64)
    for row in rows:
        bits = np.unpackbits(np.frombuffer(row["changed"], np.uint8), bitorder="little")
        at = 0
        for segment in row["segments"]:
            if segment["kind"] == "image":
                schedule = by_name[segment["schedule"]]
                for scale, length in enumerate(schedule.lengths):
                    totals[scale] += int(bits[at : at + length].sum()), length
                    at += length
    found: list[list[int]] = totals.tolist()
    return found
