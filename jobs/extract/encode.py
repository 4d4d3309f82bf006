"""Curated documents into rows of tokens.

A document's row is a pure function of the document, the tokenizers, the level, the seed and the kind of
device, whatever else is extracted beside it, in whatever order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infra.document import Document, TextSegment
from jobs.attempts import die
from jobs.curated import Media
from jobs.extract.ahead import ahead
from jobs.extract.codes import Codes, PictureEncoder, bucketed
from jobs.extract.parts import Piece
from jobs.extract.prepare import Picture, Prepared, Refusal, load, prepare
from jobs.schemas import DocumentTokens, SegmentTokens, to_row
from model.scales import ScaleSchedule
from model.text import TextTokenizer
from model.transformer.config import ContextMode
from model.transformer.cost import allowed_pairs
from model.transformer.layout import ImagePart, Part, TextPart, position_count

Pair = tuple[Document, Media]
Images = Sequence[tuple[ScaleSchedule, Codes]]


@dataclass
class _Open:
    """A document some of whose pictures are not encoded yet."""

    prepared: Prepared
    codes: dict[int, Codes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Place:
    """A picture with where it belongs."""

    owner: _Open
    number: int

    @property
    def picture(self) -> Picture:
        return self.owner.prepared.pictures[self.number]

    @property
    def schedule(self) -> ScaleSchedule:
        return self.picture.schedule

    @property
    def predicted(self) -> bool:
        return self.picture.predicted


@dataclass(frozen=True)
class Encoder:
    """Everything that decides what a document becomes."""

    text: TextTokenizer
    context_mode: ContextMode
    pictures: PictureEncoder | None = None
    """None where no document has a picture."""
    schedules: tuple[ScaleSchedule, ...] = ()
    level: str | None = None
    seed: int = 0

    def encode(self, documents: Iterable[Pair], prefetch: int = 0) -> Piece:
        """Rows of TOKENS_SCHEMA, and why other documents have none; both in the order of sample ids.

        Args:
            documents: read one by one.
            prefetch: so many pictures are decoded ahead.
        """
        piece = Piece()
        prepared = ahead(
            documents, lambda pair: prepare(*pair, self.schedules), lambda pair: load(*pair), prefetch
        )
        places = self._places(prepared, piece)
        if self.pictures is None:
            left = list(places)
            assert not left, "without schedules, a document with pictures is refused"
            return piece.in_order()
        for batch in bucketed(places, self.pictures.size):
            seeds = [self._seed(place) for place in batch]
            found = self.pictures.encode([place.picture for place in batch], seeds)
            for place, (codes, attempts) in zip(batch, found, strict=True):
                self._fill(place, codes, attempts, piece)
        return piece.in_order()

    def _places(self, prepared: Iterable[Prepared | Refusal], piece: Piece) -> Iterator[_Place]:
        """The pictures of the documents; those that have none, and those refused, are done with here."""
        for one in prepared:
            if isinstance(one, Refusal):
                piece.refused.append(one)
            elif one.pictures:
                opened = _Open(one)
                yield from (_Place(opened, number) for number in range(len(one.pictures)))
            else:
                self._finish(one.document, [], piece)

    def _fill(self, place: _Place, codes: Codes | Exception, attempts: int, piece: Piece) -> None:
        """Put the codes of a picture into its document, which may now be whole."""
        document = place.owner.prepared.document
        if isinstance(codes, Exception):
            piece.refuse(Refusal.of(document.sample_id, codes, attempts))
            return
        place.owner.codes[place.number] = codes
        if len(place.owner.codes) == len(place.owner.prepared.pictures):
            pictures = zip(place.owner.prepared.pictures, sorted(place.owner.codes.items()), strict=True)
            self._finish(document, [(p.schedule, found) for p, (_, found) in pictures], piece)

    def _finish(self, document: Document, images: Images, piece: Piece) -> None:
        try:
            piece.rows.append(self._row(document, images))
        except MemoryError:
            die()
        except Exception as error:
            piece.refuse(Refusal.of(document.sample_id, error))

    def _row(self, document: Document, images: Images) -> dict[str, Any]:
        """A document as a row of TOKENS_SCHEMA."""
        segments: list[SegmentTokens] = []
        parts: list[Part] = []
        left = iter(images)
        for segment in document.segments:
            if isinstance(segment, TextSegment):
                ids = np.array(self.text.encode(segment.text), np.uint32)
                segments.append(SegmentTokens("text", segment.loss, ids))
                parts.append(TextPart(ids, segment.loss))
            else:
                schedule, codes = next(left)
                segments.append(_image(segment.loss, schedule, codes))
                parts.append(ImagePart(schedule, codes.inputs, codes.targets, segment.loss))
        made = DocumentTokens(document.sample_id, document.family, tuple(segments))
        positions, pairs = (count(parts, self.context_mode) for count in (position_count, allowed_pairs))
        return to_row(made, positions, pairs)

    def _seed(self, place: _Place) -> int:
        """Of what is sampled: a function of the document, the picture's place in it, seed and level."""
        sample_id = place.owner.prepared.document.sample_id
        key = f"{sample_id}/{place.number}/{self.seed}/{self.level}".encode()
        return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


def _image(loss: bool, schedule: ScaleSchedule, codes: Codes) -> SegmentTokens:
    return SegmentTokens("image", loss, schedule=schedule.name, targets=codes.targets, inputs=codes.inputs)
