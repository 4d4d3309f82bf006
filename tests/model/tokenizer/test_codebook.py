"""Codebook health: codes start on data, unused codes come back to life, both from a given generator."""

from __future__ import annotations

import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.tokenizer.codebook import code_use, initialize_codebook, revive_dead_codes, sample
from model.tokenizer.losses import LossWeights, TokenizerLoss


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quantisation_error(tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule) -> float:
    """Mean squared distance of the residuals to their codes."""
    with torch.no_grad():
        return float(step(tokenizer, images, schedule)["codebook"])


def step(tokenizer: ImageTokenizer, images: Tensor, schedule: ScaleSchedule) -> dict[str, Tensor]:
    """The losses of a training step, which counts what it uses."""
    return TokenizerLoss(tokenizer, LossWeights())(images, schedule, seeded(0))[0]


def collapsed() -> ImageTokenizer:
    """A tokenizer half of whose codes are the same, so that nothing can ever use most of them."""
    tokenizer = ImageTokenizer(TokenizerConfig.preset("tiny")).eval()
    tokenizer.quantizer.set_rows(torch.arange(32, 64), torch.ones(32, 40))
    return tokenizer


def test_a_fitted_codebook_is_used_and_near_the_data(images: Tensor, schedule: ScaleSchedule) -> None:
    tokenizer = collapsed()
    initialize_codebook(tokenizer, images, schedule, seeded(0))
    fitted = quantisation_error(tokenizer, images, schedule)
    assert len(tokenizer.encode(images, schedule).unique()) > 0.6 * tokenizer.config.codebook_size
    tokenizer.quantizer.set_rows(torch.arange(32, 64), torch.ones(32, 40))
    assert quantisation_error(tokenizer, images, schedule) > 1.1 * fitted


def test_fitting_depends_on_the_generator_alone(images: Tensor, schedule: ScaleSchedule) -> None:
    def fitted(seed: int) -> Tensor:
        tokenizer = ImageTokenizer(TokenizerConfig.preset("tiny"))
        initialize_codebook(tokenizer, images, schedule, seeded(seed))
        return tokenizer.codebook()

    assert torch.equal(fitted(1), fitted(1))
    assert not torch.equal(fitted(1), fitted(2))


def test_dead_codes_move_onto_the_data_and_live(images: Tensor, schedule: ScaleSchedule) -> None:
    tokenizer = collapsed()
    step(tokenizer, images, schedule)
    before, dead = tokenizer.codebook(), tokenizer.code_use == 0
    assert revive_dead_codes(tokenizer, images, schedule, seeded(5)) == int(dead.sum()) > 30
    moved = (tokenizer.codebook() != before).any(dim=1)
    assert torch.equal(moved, dead)
    assert not tokenizer.code_use.any()
    step(tokenizer, images, schedule)
    assert int((tokenizer.code_use[dead] > 0).sum()) > 10


def test_codes_in_use_stay_where_they_are(images: Tensor, schedule: ScaleSchedule) -> None:
    tokenizer = ImageTokenizer(TokenizerConfig.preset("tiny"))
    tokenizer.code_use.fill_(1)
    before = tokenizer.codebook()
    assert revive_dead_codes(tokenizer, images, schedule, seeded(0)) == 0
    assert torch.equal(tokenizer.codebook(), before)


def test_reviving_depends_on_the_generator_alone(images: Tensor, schedule: ScaleSchedule) -> None:
    def revived(seed: int) -> Tensor:
        tokenizer = ImageTokenizer(TokenizerConfig.preset("tiny"))
        revive_dead_codes(tokenizer, images, schedule, seeded(seed))
        return tokenizer.codebook()

    assert torch.equal(revived(1), revived(1))
    assert not torch.equal(revived(1), revived(2))


def test_samples_do_not_repeat_while_vectors_last() -> None:
    vectors = 100.0 * torch.eye(6)
    few = sample(vectors, 6, seeded(0)).argmax(dim=1)
    assert sorted(few.tolist()) == [0, 1, 2, 3, 4, 5]
    many = sample(vectors, 15, seeded(0))
    assert len(many.unique(dim=0)) == 15


def test_statistics_of_use() -> None:
    use = code_use(torch.tensor([5, 5, 0, 0]))
    assert (use.share, use.dead) == (0.5, 2)
    assert abs(use.perplexity - 2) < 1e-9
    assert code_use(torch.zeros(4, dtype=torch.int64)).dead == 4
