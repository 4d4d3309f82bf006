"""The tokenizer at the beginning of each of its three trainings, and what it learns from (paper 3.1)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from infra import storage
from infra.errors import UserError
from infra.manifest import find_manifest
from jobs.models import load_tokenizer, model_folder
from jobs.tokenizer.task import JOINT, PIXEL, TokenizerTask
from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer
from model.tokenizer.codebook import initialize_codebook
from model.tokenizer.losses import LossWeights, Perceptual, TokenizerLoss
from model.tokenizer.vision import VisionTower, frozen_teacher, load_vision_tower
from model.tokenizer.warm_start import enhanced_tokenizer, start_joint


def build(task: TokenizerTask, device: torch.device) -> TokenizerLoss:
    """The tokenizer of a stage with the losses it trains on, before it saw any picture.

    Raises:
        UserError: the semantic encoder or the weights of the perceptual loss cannot be loaded.
    """
    settings = task.settings
    weights = LossWeights(**settings.tokenizer.losses.model_dump())
    perceptual = _perceptual(settings.tokenizer.vgg16, device) if weights.perceptual else None
    if settings.stage_name == "decoder":
        tokenizer = enhanced_tokenizer(load_tokenizer(task.inputs[JOINT][0]))
    else:
        tokenizer = ImageTokenizer(task.config())
    teacher = None
    if settings.stage_name == "joint" and tokenizer.semantic_encoder is not None:
        teacher = load_semantics(tokenizer.semantic_encoder, task.semantic).to(device)
    alone = settings.stage_name == "decoder"
    return TokenizerLoss(tokenizer.to(device), weights, teacher, perceptual, decoder_alone=alone)


def start(
    task: TokenizerTask,
    tokenizer: ImageTokenizer,
    images_BCHW: Tensor,
    schedule: ScaleSchedule,
    generator: torch.Generator,
) -> None:
    """Starts a stage's codes on pictures, the same in every process."""
    if task.settings.stage_name == "pixel":
        initialize_codebook(tokenizer, images_BCHW, schedule, generator)
    if task.settings.stage_name == "joint":
        pixel = load_tokenizer(task.inputs[PIXEL][0]).to(images_BCHW.device)
        start_joint(tokenizer, pixel, images_BCHW, schedule, generator)


def load_semantics(encoder: VisionTower, name: str | None) -> nn.Module:
    """Loads the semantic encoder and returns its frozen teacher; without a name both stay random.

    Raises:
        UserError: it cannot be loaded, or is of another size than the preset's.
    """
    try:
        with _folder(name) as folder:
            if folder is not None:
                load_vision_tower(encoder, str(folder))
            return frozen_teacher(encoder, None if folder is None else str(folder))
    except ValueError as error:
        mend = "Name a model of the preset's size, or leave it out and one is trained"
        raise UserError(str(error), "tokenizer.semantic.pretrained", mend) from error


def _perceptual(vgg16: str | None, device: torch.device) -> Perceptual:
    # Imported where it is wanted: it takes seconds.
    from jobs.tokenizer.perceptual import Lpips

    return Lpips.load(vgg16).to(device)


def _folder(name: str | None) -> AbstractContextManager[str | Path | None]:
    """Where a published model can be read: an output of ours may be remote."""
    if name is None or not _is_output(name):
        return nullcontext(name)
    return model_folder(name)


def _is_output(name: str) -> bool:
    looks_like_a_place = storage.is_remote(name) or Path(name).is_dir()
    return looks_like_a_place and find_manifest(name) is not None
