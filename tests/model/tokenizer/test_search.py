"""Searching codes block by block: as a plain search finds them, at any rank, in little memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.tokenizer import search
from model.tokenizer.search import nearest_codes, ranking_rows


def plain_order(vectors: Tensor, codebook: Tensor, weights: Tensor) -> Tensor:
    """All codes of each vector, nearest first, in float64."""
    differences = vectors.double()[:, None] - codebook.double()[None]
    return (differences.square() * weights.double()).sum(dim=-1).argsort(dim=1)


def problem(seed: int, count: int, codes: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors, codebook = (torch.randn(n, 6, generator=generator) for n in (count, codes))
    return vectors, codebook, torch.tensor([1.0, 1.0, 1.0, 1.0, 4.0, 4.0])


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 30), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_any_block_size_finds_the_codes_of_each_rank(seed: int, count: int, codes: int, block: int) -> None:
    vectors, codebook, weights = problem(seed, count, codes)
    ranks = torch.randint(codes, (count,), generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(search.BLOCK_BYTES, "cpu", block * codes * 4)
        nearest, chosen = nearest_codes(vectors, ranking_rows(codebook, weights), ranks)
    order = plain_order(vectors, codebook, weights)
    assert torch.equal(nearest, order[:, 0])
    assert torch.equal(chosen, order.gather(1, ranks[:, None])[:, 0])


def test_without_ranks_the_nearest_are_chosen() -> None:
    vectors, codebook, weights = problem(0, 50, 20)
    nearest, chosen = nearest_codes(vectors, ranking_rows(codebook, weights))
    assert torch.equal(nearest, chosen)


def test_other_weights_find_other_codes() -> None:
    vectors, codebook, weights = problem(0, 50, 20)
    nearest, _ = nearest_codes(vectors, ranking_rows(codebook, weights.flip(0)))
    assert not torch.equal(nearest, plain_order(vectors, codebook, weights)[:, 0])


SCRIPT = """
import dataclasses, resource, sys, torch
from model.scales import ScaleSchedule
from model.tokenizer import Correction, TokenizerConfig
from model.tokenizer.correction import draw_ranks
from model.tokenizer.quantizer import SharedQuantizer
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
schedule = ScaleSchedule("ends", ((1, 1), (8, 8), (64, 64)))
quantizer = SharedQuantizer(TokenizerConfig.preset("nextflow"))
features = torch.randn(8, 40, 64, 64)
generators = [torch.Generator().manual_seed(n) for n in range(8)]
ranks = draw_ranks(schedule, Correction(share=0.01), generators)
with torch.no_grad():
    quantizer(features[:1, :, :4, :4], ((1, 1), (4, 4)), ranks[:1, :17])
    before = peak()
    quantizer(features, schedule.grids, ranks)
print(peak() - before)
"""


@pytest.mark.chaos
def test_eight_megapixel_images_need_little_memory_for_a_full_codebook() -> None:
    """8 x 4,096 tokens of the finest scale against 32,768 codes: a plain table of distances has 4 GiB."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 256
