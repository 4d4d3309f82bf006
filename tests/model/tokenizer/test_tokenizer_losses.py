"""The tokenizer's losses: their sum, who learns from them, scale dropout, and the discriminator's game."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tokenizer_images import random_images
from torch import Tensor

from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.tokenizer.discriminator import DiscriminatorLoss, PatchDiscriminator, adversarial_loss
from model.tokenizer.losses import LossWeights, TokenizerLoss
from model.tokenizer.vision import frozen_teacher

TINY = TokenizerConfig.preset("tiny")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_teacher(tokenizer: ImageTokenizer, weights: LossWeights | None = None) -> TokenizerLoss:
    assert tokenizer.semantic_encoder is not None
    teacher = frozen_teacher(tokenizer.semantic_encoder, None)
    return TokenizerLoss(tokenizer, weights or LossWeights(), teacher)


def test_the_loss_is_the_weighted_sum_of_its_parts(images: Tensor, schedule: ScaleSchedule) -> None:
    weights = LossWeights(perceptual=3.0, adversarial=0.1, codebook=2.0, commitment=0.25, semantic=0.5)
    tokenizer = ImageTokenizer(TINY)
    assert tokenizer.semantic_encoder is not None
    teacher = frozen_teacher(tokenizer.semantic_encoder, None)
    loss = TokenizerLoss(tokenizer, weights, teacher, lambda a, b: (a - b).abs().mean(dim=(1, 2, 3)))
    parts, reconstruction = loss(images, schedule, seeded(0), PatchDiscriminator())
    total = parts.pop("loss")
    assert parts.keys() == {
        "reconstruction", "perceptual", "adversarial", "codebook", "commitment", "semantic",
    }  # fmt: skip
    assert torch.allclose(total, sum(getattr(weights, name) * part for name, part in parts.items()))
    assert torch.allclose(parts["reconstruction"], (reconstruction - images).square().mean())
    assert torch.allclose(parts["perceptual"], (reconstruction - images).abs().mean())


def test_every_parameter_learns_but_the_teachers(images: Tensor, schedule: ScaleSchedule) -> None:
    tokenizer = ImageTokenizer(TINY)
    loss = with_teacher(tokenizer)
    loss(images, schedule, seeded(0))[0]["loss"].backward()
    assert not [name for name, parameter in tokenizer.named_parameters() if parameter.grad is None]
    assert {name.split(".")[0] for name in loss.state_dict()} == {"tokenizer"}  # no teacher


def test_the_teacher_stays_when_the_encoder_learns(images: Tensor) -> None:
    tokenizer = ImageTokenizer(TINY)
    assert tokenizer.semantic_encoder is not None
    teacher = frozen_teacher(tokenizer.semantic_encoder, None)
    before = teacher(images)
    with torch.no_grad():
        for parameter in tokenizer.semantic_encoder.parameters():
            parameter.add_(0.1)
    assert torch.equal(teacher(images), before)
    assert not torch.equal(tokenizer.semantic_encoder(images), before)


def test_only_the_pixel_decoder_learns_alone(images: Tensor, schedule: ScaleSchedule) -> None:
    tokenizer = ImageTokenizer(replace(TINY, scale_dropout=1.0)).train()
    loss = TokenizerLoss(tokenizer, LossWeights(), decoder_alone=True)
    parts, reconstruction = loss(images, schedule, seeded(0))
    parts["loss"].backward()
    learning = {n.split(".")[0] for n, p in tokenizer.named_parameters() if p.grad is not None}
    assert learning == {"pixel_decoder"}
    decoded = tokenizer.decode(tokenizer.encode(images, schedule), schedule)
    assert torch.allclose(reconstruction.clamp(-1, 1), decoded, atol=1e-5)  # with every scale


def test_a_few_steps_on_schedules_of_several_shapes_lower_the_loss() -> None:
    loss = with_teacher(ImageTokenizer(TINY).train())
    wide, tall = (ScaleSchedule(name, ((1, 1), grid)) for name, grid in (("w", (2, 4)), ("t", (3, 2))))
    optimizer = torch.optim.Adam(loss.tokenizer.parameters(), lr=3e-3)
    losses = []
    for step in range(16):
        schedule = (wide, tall)[step % 2]
        parts, _ = loss(random_images(schedule, 2, seed=0), schedule, seeded(step))
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
        losses.append(float(parts["reconstruction"].detach()))
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def used_tokens(loss: TokenizerLoss, images: Tensor, schedule: ScaleSchedule, seed: int) -> int:
    """Tokens that one call quantises, per image."""
    loss.tokenizer.code_use.zero_()
    loss(images, schedule, seeded(seed))
    return int(loss.tokenizer.code_use.sum()) // len(images)


def test_scale_dropout_keeps_the_first_and_the_last_scale(images: Tensor, schedule: ScaleSchedule) -> None:
    loss = TokenizerLoss(ImageTokenizer(replace(TINY, scale_dropout=1.0)), LossWeights())
    assert used_tokens(loss, images, schedule, 0) == 1 + 16
    loss = TokenizerLoss(ImageTokenizer(replace(TINY, scale_dropout=0.0)), LossWeights())
    assert used_tokens(loss, images, schedule, 0) == schedule.tokens


def test_scale_dropout_follows_the_generator(images: Tensor, schedule: ScaleSchedule) -> None:
    loss = TokenizerLoss(ImageTokenizer(TINY), LossWeights())
    draws = [used_tokens(loss, images[:1], schedule, seed) for seed in range(12)]
    again = [used_tokens(loss, images[:1], schedule, seed) for seed in range(12)]
    assert draws == again
    assert set(draws) == {17, 21, 26, 30}


def test_the_hinge_losses_are_those_of_the_formula(images: Tensor) -> None:
    judge, fakes = PatchDiscriminator(), images.flip(0) * 0.5
    real, fake = judge(images), judge(fakes)
    expected = 0.5 * ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean())
    assert torch.allclose(DiscriminatorLoss(judge)(images, fakes), expected)
    assert torch.allclose(adversarial_loss(judge, fakes), -fake.mean())


def test_the_two_players_learn_from_their_own_loss_alone(images: Tensor) -> None:
    judge, fakes = PatchDiscriminator(), (images * 0.5).requires_grad_()
    adversarial_loss(judge, fakes).backward()
    assert fakes.grad is not None
    assert fakes.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in judge.parameters())
    fakes.grad = None
    DiscriminatorLoss(judge)(images, fakes).backward()
    assert fakes.grad is None
    assert all(parameter.grad is not None for parameter in judge.parameters())


def test_a_discriminator_learns_to_tell_noise_from_pictures(images: Tensor) -> None:
    torch.manual_seed(0)
    loss = DiscriminatorLoss(PatchDiscriminator(channels=8))
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    noisy = images + 0.3 * torch.randn_like(images)
    for _ in range(40):
        optimizer.zero_grad()
        value = loss(images, noisy)
        value.backward()
        optimizer.step()
    assert value < 0.3


def test_pictures_without_a_patch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3, 16, 64\)"):
        PatchDiscriminator()(torch.zeros(1, 3, 16, 64))
