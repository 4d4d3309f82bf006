"""Pictures and text from prompts with trained models: what `nextscale generate` and the evaluation do."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import torch
from PIL import Image

from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.images import fit
from jobs.models import load_text, load_tokenizer, load_transformer
from jobs.recipe import Level, Sampling
from jobs.tensors import to_images, to_tensor
from jobs.written import Generation, Written, images
from model.scales import ScaleSchedule, nearest
from model.text import TextTokenizer
from model.tokenizer import ImageTokenizer
from model.transformer.generate import Progress
from model.transformer.generate import generate as write_documents
from model.transformer.layout import ImagePart, Part, TextPart
from model.transformer.model import NextScaleTransformer
from model.transformer.sampling import SamplingOptions, TextSampling
from model.transformer.writer import Request

Mode = Literal["picture", "text", "think", "interleaved"]
"""What is wanted: a picture at once; text alone; text that comes to a picture; both until the model ends."""

IMAGE_MARK = "<image>"
"""Where a picture stands in a prompt."""


@dataclass(frozen=True)
class Ask:
    """A prompt, the pictures that are read with it, and what is wanted.

    Pictures take the places of the marks `<image>` in their order; those without a mark come first.
    """

    prompt: str
    images: tuple[Image.Image, ...] = ()
    mode: Mode = "picture"
    max_text: int = 256
    """Text ids at most."""
    max_images: int = 4
    """Pictures of an interleaved document at most."""


@dataclass(frozen=True)
class Generator:
    """Loaded models, the schedules of a level, and the one of the pictures to make. Uses a GPU where there
    is one."""

    transformer: NextScaleTransformer
    tokenizer: ImageTokenizer
    text: TextTokenizer
    schedules: tuple[ScaleSchedule, ...]
    schedule: ScaleSchedule
    where: str
    """The transformer's folder, for errors."""

    @classmethod
    def load(
        cls,
        checkpoint: str,
        tokenizer: str,
        level: Level,
        text_tokenizer: str,
        aspect: tuple[int, int] = (1, 1),
    ) -> Self:
        """Load the models of finished outputs of `training/<stage>` and `tokenizer/decoder`.

        Args:
            aspect: width and height of the pictures to make; the level's nearest schedule is taken.

        Raises:
            UserError: a folder holds no readable model, or the models have other vocabularies.
        """
        device = "cuda" if torch.cuda.is_available() else "cpu"
        schedules = level.schedules()
        generator = cls(
            load_transformer(checkpoint).to(device),
            load_tokenizer(tokenizer).to(device),
            load_text(text_tokenizer),
            schedules,
            nearest(schedules, *aspect),
            checkpoint,
        )
        generator._check_vocabularies()
        return generator

    def _check_vocabularies(self) -> None:
        config, codes = self.transformer.config, self.tokenizer.config.codebook_size
        if config.codebook_size != codes or config.text_vocabulary < self.text.size:
            what = (
                f"a model of {config.text_vocabulary} text ids and {config.codebook_size} codes does not fit "
                f"tokenizers of {self.text.size} and {codes}"
            )
            raise UserError(what, self.where, "Use the tokenizers that it was trained with")

    def sample(
        self, prompt: str, seeds: Sequence[int], sampling: Sampling, progress: Progress | None = None
    ) -> list[Image.Image]:
        """One picture of a prompt for each seed.

        Raises:
            UserError: the prompt is too long, or the model has diverged.
        """
        written = self.write(Ask(prompt), seeds, sampling, progress)
        return [image for parts in written for image in images(parts)]

    def write(
        self, ask: Ask, seeds: Sequence[int], sampling: Sampling, progress: Progress | None = None
    ) -> list[Written]:
        """What is written for an ask, once for each seed.

        Raises:
            UserError: the prompt is too long, has more marks than pictures, or the model has diverged.
        """
        context = self._context(ask)
        requests = [
            Request(
                seed=seed,
                context=context,
                schedule=None if ask.mode == "text" else self.schedule,
                images={"text": 0, "interleaved": ask.max_images}.get(ask.mode, 1),
                text_first=ask.mode != "picture",
                until_end=ask.mode == "interleaved",
                max_text=ask.max_text,
            )
            for seed in seeds
        ]
        options = SamplingOptions(**sampling.model_dump())
        try:
            documents = write_documents(
                self.transformer, requests, options, TextSampling(ids=self.text.size), progress
            )
        except FloatingPointError as error:
            raise UserError(str(error), self.where, "Train it again with a lower learning_rate") from error
        except ValueError as error:
            raise UserError(str(error), "generate", "Change the prompt or the options") from error
        return self._decode(documents)

    def _context(self, ask: Ask) -> tuple[Part, ...]:
        pieces = ask.prompt.split(IMAGE_MARK)
        unmarked = len(ask.images) - (len(pieces) - 1)
        if unmarked < 0:
            what = f"{len(pieces) - 1} marks {IMAGE_MARK} in the prompt and {len(ask.images)} pictures"
            raise UserError(what, "generate", "Give each mark its --image")
        parts: list[Part] = [self._read(image) for image in ask.images[:unmarked]]
        for number, piece in enumerate(pieces):
            if number:
                parts.append(self._read(ask.images[unmarked + number - 1]))
            if text := piece.strip():
                parts.append(TextPart(self.text.encode(text), loss=False))
        return tuple(parts)

    def _read(self, image: Image.Image) -> ImagePart:
        """A picture as the codes of the level's nearest schedule."""
        schedule = nearest(self.schedules, *image.size)
        pixels_BCHW = to_tensor([fit(image, schedule.width, schedule.height)])
        device = self.transformer.lm_head.weight.device
        codes = self.tokenizer.encode(pixels_BCHW.to(device), schedule)[0].cpu().numpy()
        return ImagePart(schedule, codes, codes, loss=False)

    def _decode(self, documents: Sequence[Sequence[Part]]) -> list[Written]:
        """Codes to pictures, all of them in one batch, and ids to text."""
        found = [part for parts in documents for part in parts if isinstance(part, ImagePart)]
        pictures = iter(self._pictures(found) if found else [])
        return [
            [
                next(pictures) if isinstance(part, ImagePart) else self.text.decode(list(map(int, part.ids)))
                for part in parts
            ]
            for parts in documents
        ]

    def _pictures(self, found: Sequence[ImagePart]) -> list[Image.Image]:
        device = self.transformer.lm_head.weight.device
        codes_BN = torch.from_numpy(np.stack([part.targets for part in found])).to(device)
        with torch.no_grad():
            return to_images(self.tokenizer.decode(codes_BN, self.schedule))


def sample_seeds(seed: int, prompt: str, samples: int) -> list[int]:
    """A seed for each sample of a prompt, which other prompts and more samples do not change."""
    digests = (hashlib.blake2b(f"{seed}/{n}/{prompt}".encode(), digest_size=7) for n in range(samples))
    return [int.from_bytes(digest.digest(), "little") for digest in digests]


def generate(
    checkpoint: str,
    tokenizer: str,
    level: Level,
    asks: Sequence[Ask],
    *,
    text_tokenizer: str,
    samples: int,
    seed: int,
    sampling: Sampling,
    aspect: tuple[int, int] = (1, 1),
    progress: Progress | None = None,
) -> Generation:
    """What the models write for each ask, `samples` times.

    Args:
        checkpoint: output folder of `training/<stage>`.
        tokenizer: output folder of `tokenizer/decoder`.
        level: whose schedule nearest to `aspect` the pictures have.
        progress: told the scales and the tokens of all asks.

    Raises:
        UserError: a folder holds no finished model, an ask cannot be met, or the model has diverged.
    """
    generator = Generator.load(checkpoint, tokenizer, level, text_tokenizer, aspect)
    seeds = {ask.prompt: sample_seeds(seed, ask.prompt, samples) for ask in asks}
    whole = _Whole(progress, len(asks)) if progress else None
    written = []
    for ask in asks:
        written.append(generator.write(ask, seeds[ask.prompt], sampling, whole))
        if whole:
            whole.next()
    made_by = {
        "prompts": seeds,
        "mode": asks[0].mode,
        "images": [hashlib.sha256(image.tobytes()).hexdigest() for image in asks[0].images],
        "schedule": generator.schedule.name,
        "sampling": sampling.model_dump(),
        "model": read_manifest(checkpoint).hash,
        "tokenizer": read_manifest(tokenizer).hash,
    }
    return Generation([ask.prompt for ask in asks], written, made_by)


@dataclass
class _Whole:
    """Progress of one ask after another as progress of all of them."""

    progress: Progress
    asks_left: int
    before: Counter[str] = field(default_factory=Counter)
    now: Counter[str] = field(default_factory=Counter)

    def __call__(self, done: int, most: int, unit: str) -> None:
        self.now[unit] = done
        before = self.before[unit]
        self.progress(before + done, before + self.asks_left * most, unit)

    def next(self) -> None:
        """The next ask begins."""
        self.before += self.now
        self.now.clear()
        self.asks_left -= 1
