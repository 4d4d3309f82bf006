"""Pictures from prompts with trained models: what `nextscale generate` and the evaluation do.

Shapes: B samples, C = 3 channels, H W pixels.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from infra.errors import UserError
from infra.manifest import read_manifest
from jobs.models import load_text, load_tokenizer, load_transformer
from jobs.pictures.sheets import SampleRow, sample_sheet
from jobs.recipe import Level, Sampling
from jobs.tensors import to_images
from model.scales import ScaleSchedule, level_schedules, nearest
from model.text import TextTokenizer
from model.tokenizer import ImageTokenizer
from model.transformer.generate import SamplingOptions, generate_images
from model.transformer.model import NextScaleTransformer

Progress = Callable[[int, int], None]

PNG_KEY = "nextscale"
"""PNG text chunk that says how a picture was made, as JSON."""


@dataclass(frozen=True)
class Generator:
    """Loaded models and the square schedule of a level. Uses a GPU where there is one."""

    transformer: NextScaleTransformer
    tokenizer: ImageTokenizer
    text: TextTokenizer
    schedule: ScaleSchedule
    where: str
    """The transformer's folder, for errors."""

    @classmethod
    def load(cls, checkpoint: str, tokenizer: str, level: Level, text_tokenizer: str) -> Self:
        """Load the models of finished outputs of `training/<stage>` and `tokenizer/decoder`."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        schedules = level_schedules(level.schedule, level.scales, level.cell, level.margin)
        return cls(
            load_transformer(checkpoint).to(device),
            load_tokenizer(tokenizer).to(device),
            load_text(text_tokenizer),
            nearest(schedules, 1, 1),
            checkpoint,
        )

    def sample(
        self, prompt: str, seeds: Sequence[int], sampling: Sampling, progress: Progress | None = None
    ) -> list[Image.Image]:
        """One picture of a prompt for each seed; `progress` is told (scales done, scales).

        Raises:
            UserError: the model has diverged.
        """
        prompts = [self.text.encode(prompt)] * len(seeds)
        options = SamplingOptions(**sampling.model_dump())
        try:
            made = generate_images(
                self.transformer, self.tokenizer.decode, prompts, self.schedule, options, seeds, progress
            )
        except FloatingPointError as error:
            raise UserError(str(error), self.where, "Train it again with a lower learning_rate") from error
        return to_images(made.images_BCHW)


def sample_seeds(seed: int, prompt: str, samples: int) -> list[int]:
    """A seed for each sample of a prompt, which other prompts and more samples do not change."""
    digests = (hashlib.blake2b(f"{seed}/{n}/{prompt}".encode(), digest_size=7) for n in range(samples))
    return [int.from_bytes(digest.digest(), "little") for digest in digests]


def generate(
    checkpoint: str,
    tokenizer: str,
    level: Level,
    prompts: Sequence[str],
    *,
    text_tokenizer: str,
    samples: int,
    seed: int,
    sampling: Sampling,
    progress: Progress | None = None,
) -> bytes:
    """A PNG with a row of pictures for each prompt; of one picture alone, that picture.

    The PNG's text chunk `nextscale` holds the prompts, seeds, settings and the model's hash.

    Args:
        checkpoint: output folder of `training/<stage>`.
        tokenizer: output folder of `tokenizer/decoder`.
        level: whose square schedule the pictures have.
        progress: told (scales done, scales) over all prompts.

    Raises:
        UserError: a folder holds no finished model, or the model has diverged.
    """
    generator = Generator.load(checkpoint, tokenizer, level, text_tokenizer)
    seeds = {prompt: sample_seeds(seed, prompt, samples) for prompt in prompts}
    rows = []
    for number, prompt in enumerate(prompts):
        tell = _offset(progress, number, len(prompts)) if progress else None
        images = generator.sample(prompt, seeds[prompt], sampling, tell)
        rows.append(SampleRow(prompt, images, [None] * samples))
    made_by = {
        "prompts": seeds,
        "schedule": generator.schedule.name,
        "sampling": sampling.model_dump(),
        "model": read_manifest(checkpoint).hash,
        "tokenizer": read_manifest(tokenizer).hash,
    }
    return png_bytes(_sheet(rows), made_by)


def png_bytes(image: Image.Image, made_by: Mapping[str, object]) -> bytes:
    """A picture as PNG that says how it was made."""
    info = PngInfo()
    info.add_itxt(PNG_KEY, json.dumps(dict(made_by), sort_keys=True, ensure_ascii=False))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _sheet(rows: Sequence[SampleRow]) -> Image.Image:
    """The only picture, or all of them in a grid beside their prompts."""
    if len(rows) == len(rows[0].images) == 1:
        return rows[0].images[0]
    cell = max(image.width for row in rows for image in row.images)
    return sample_sheet(rows, cell=max(96, cell))


def _offset(progress: Progress, number: int, total: int) -> Progress:
    """Progress of prompt `number` as progress of all of them."""
    return lambda done, scales: progress(number * scales + done, total * scales)
