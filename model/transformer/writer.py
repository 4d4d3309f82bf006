"""What is asked of a generation, and a document that is being written.

Shapes: L codes of a scale, N codes so far, E hidden width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.transformer.config import TransformerConfig
from model.transformer.layout import ImagePart, Part, TextPart, position_count
from model.transformer.sampling import Branch


@dataclass(frozen=True, kw_only=True)
class Request:
    """One document to continue.

    Without `text_first` an image comes at once. With it, text is written until the model begins an image.
    `until_end` goes on after an image until the model ends the document; else the document ends with its
    first image, which begins where the text ends.
    """

    seed: int
    context: Sequence[Part] = ()
    schedule: ScaleSchedule | None = None
    """Of the images to write; needed where there are any."""
    images: int = 1
    """At most."""
    text_first: bool = False
    until_end: bool = False
    max_text: int = 512
    """Text ids in all; where they are used up, the text ends."""

    def __post_init__(self) -> None:
        if self.images < 0 or self.max_text < 0 or (self.images and self.schedule is None):
            raise ValueError("a request has images >= 0 and max_text >= 0, and a schedule for its images")
        if not self.images and not self.text_first:
            raise ValueError("a request writes images, text, or both")

    @property
    def most_tokens(self) -> int:
        """Text ids that may be written."""
        return self.max_text if self.text_first or self.until_end else 0

    @property
    def most_scales(self) -> int:
        """Scales of all images that may be written."""
        return self.images * len(self.schedule.grids) if self.schedule else 0

    def capacity(self, config: TransformerConfig) -> int:
        """Positions that the finished document may take.

        Raises:
            ValueError: they are more than the model knows.
        """
        read = position_count(self.context, config.context_mode)
        images = self.images * (self.schedule.tokens + 1) if self.schedule else 0
        written = images + self.most_tokens
        if read + written > config.max_positions:
            raise ValueError(
                f"{read} positions to read and up to {written} to write exceed the model's "
                f"{config.max_positions}; shorten the prompt, or ask for fewer or smaller images"
            )
        return read + written


def has_images(parts: Sequence[Part]) -> bool:
    """Whether some part is an image."""
    return any(isinstance(part, ImagePart) for part in parts)


@dataclass
class UnfinishedImage:
    """An image under way: its schedule, the scale to come and the codes so far [N]."""

    schedule: ScaleSchedule
    codes_N: Tensor
    scale: int = 1


@dataclass
class Writer:
    """A document under way and where it goes next."""

    request: Request
    rows: dict[Branch, int]
    """The rows of the session that stand for this document."""
    parts: list[Part] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    """Of the text under way."""
    image: UnfinishedImage | None = None
    hidden_E: Tensor | None = None
    """Last hidden state of the row that knows everything."""
    finished: bool = False

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.request.seed)
        if not self.request.text_first:
            self.begin_image()

    @property
    def kind(self) -> tuple[object, ...]:
        """Writers of one kind take their next step together."""
        return ("text",) if self.image is None else (self.image.schedule, self.image.scale)

    @property
    def tokens_done(self) -> int:
        """Ids of all its texts so far."""
        return sum(len(part.ids) for part in self.parts if isinstance(part, TextPart)) + len(self.ids)

    @property
    def text_left(self) -> int:
        """How many text ids may still be written."""
        return self.request.max_text - self.tokens_done

    @property
    def images_left(self) -> int:
        """How many images may still be written."""
        return self.request.images - sum(isinstance(part, ImagePart) for part in self.parts)

    @property
    def scales_done(self) -> int:
        """Scales of all its images so far."""
        whole = sum(len(part.schedule.grids) for part in self.parts if isinstance(part, ImagePart))
        return whole + (self.image.scale - 1 if self.image else 0)

    @property
    def reads_images(self) -> bool:
        """Whether there are images that the next part is written after."""
        return has_images(self.request.context) or has_images(self.parts)

    def begin_image(self) -> None:
        """End the text under way and begin an image."""
        assert self.request.schedule is not None
        self._keep_text()
        self.image = UnfinishedImage(self.request.schedule, torch.empty(0, dtype=torch.int64))

    @property
    def codes(self) -> Tensor:
        """Codes so far [N] of the image under way."""
        assert self.image is not None
        return self.image.codes_N

    @property
    def hidden(self) -> Tensor:
        """What the next text id is drawn from: [E]."""
        assert self.hidden_E is not None
        return self.hidden_E

    def take_codes(self, codes_L: Tensor) -> None:
        """Add the codes of a scale; the last completes the image, and may end the document."""
        assert self.image is not None
        self.image.codes_N = torch.cat([self.image.codes_N, codes_L])
        self.image.scale += 1
        if self.image.scale > len(self.image.schedule.grids):
            self._end_image(self.image)

    def _end_image(self, image: UnfinishedImage) -> None:
        codes = image.codes_N.numpy()
        self.parts.append(ImagePart(image.schedule, codes, codes))
        self.image = None
        self.finished = not self.request.until_end

    def take_id(self, token: int, end_id: int, boi: int) -> bool:
        """Add a text id, begin an image or end; whether the id is part of the text."""
        if token == boi:
            self.begin_image()
        elif token == end_id:
            self.end_text()
        else:
            self.ids.append(token)
        return token not in (boi, end_id)

    def end_text(self) -> None:
        """Where no more text comes: the one image begins, or the document ends."""
        if self.images_left and not self.request.until_end:
            self.begin_image()
        else:
            self._keep_text()
            self.finished = True

    def _keep_text(self) -> None:
        if self.ids:
            self.parts.append(TextPart(tuple(self.ids)))
            self.ids = []
