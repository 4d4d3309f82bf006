"""Self-correction: sampled inputs, nearest targets, and randomness that belongs to each image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import quantizer_reference as reference
import torch
from torch import Tensor

from model.scales import ScaleSchedule, square
from model.tokenizer import Correction, ImageTokenizer, TokenizerConfig


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_targets_are_nearest_to_what_the_sampled_inputs_leave(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    targets, inputs = tokenizer.encode_corrected(images[:2], schedule, Correction(), seeded(1, 2))
    features = tokenizer.features(images[:2]).detach()
    for image in range(2):
        expected = reference.quantise(
            features[image], schedule.grids, tokenizer.codebook(), 32, 1.0, inputs_N=inputs[image]
        )
        assert targets[image].tolist() == expected
    assert not torch.equal(targets, tokenizer.encode(images[:2], schedule))


def test_the_share_of_sampled_inputs_is_as_asked() -> None:
    schedule = square([1, 8, 16, 16], cell=16)
    tokenizer = ImageTokenizer(replace(TokenizerConfig.preset("tiny"), codebook_size=2048))
    images = torch.rand(4, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    targets, inputs = tokenizer.encode_corrected(images, schedule, Correction(), seeded(1, 2, 3, 4))
    changed = (targets != inputs)[:, : schedule.starts[-1]].double().mean().item()
    tokens = 4 * schedule.starts[-1]
    expected = 0.6 * 49 / 50
    assert abs(changed - expected) < 4 * (expected * (1 - expected) / tokens) ** 0.5


def test_the_last_scale_is_never_sampled(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    everything = Correction(share=1.0, top_k=64)
    targets, inputs = tokenizer.encode_corrected(images, schedule, everything, seeded(*range(8)))
    last = schedule.starts[-1]
    assert torch.equal(targets[:, last:], inputs[:, last:])
    assert not torch.equal(targets[:, :last], inputs[:, :last])


@pytest.mark.parametrize(
    "correction", [Correction(share=0.0), Correction(probability=0.0), Correction(top_k=1)]
)
def test_without_sampling_inputs_are_the_plain_tokens(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule, correction: Correction
) -> None:
    targets, inputs = tokenizer.encode_corrected(images, schedule, correction, seeded(*range(8)))
    assert torch.equal(targets, inputs)
    assert torch.equal(targets, tokenizer.encode(images, schedule))


def test_an_image_keeps_its_sample_in_any_company(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    _, together = tokenizer.encode_corrected(images[:3], schedule, Correction(), seeded(7, 8, 9))
    _, alone = tokenizer.encode_corrected(images[1:2], schedule, Correction(), seeded(8))
    _, other_seed = tokenizer.encode_corrected(images[1:2], schedule, Correction(), seeded(9))
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(alone, other_seed)


def test_half_the_images_at_probability_one_half(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    many = images[:1].expand(60, -1, -1, -1)
    correction = Correction(probability=0.5, share=1.0, top_k=64)
    targets, inputs = tokenizer.encode_corrected(many, schedule, correction, seeded(*range(60)))
    sampled = (targets != inputs).any(dim=1).double().mean().item()
    assert 0.25 < sampled < 0.75


def test_arguments_that_do_not_fit_are_refused(
    tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule
) -> None:
    with pytest.raises(ValueError, match="8 images need as many generators, got 1"):
        tokenizer.encode_corrected(images, schedule, Correction(), seeded(0))
    with pytest.raises(ValueError, match="top_k 65"):
        tokenizer.encode_corrected(images, schedule, Correction(top_k=65), seeded(*range(8)))
    with pytest.raises(ValueError, match="share"):
        Correction(share=1.5)
