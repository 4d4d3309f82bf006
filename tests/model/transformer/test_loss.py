from __future__ import annotations

import pytest
import torch

from model.transformer import loss
from model.transformer.loss import LossReport, weighted_loss


def report(size: int, monkeypatch: pytest.MonkeyPatch) -> tuple[LossReport, torch.Tensor, torch.Tensor]:
    """The loss of 37 positions with `size` logits alive at once, and its gradients."""
    monkeypatch.setattr(loss, "MAX_LOGITS", size)
    torch.manual_seed(0)
    hidden, head = torch.randn(37, 8, requires_grad=True), torch.nn.Linear(8, 11)
    found = weighted_loss(
        hidden,
        torch.randint(11, (37,)),
        torch.rand(37),
        torch.randint(4, (37,)),
        head=head,
        vocabulary=11,
        scales=3,
    )
    hidden_gradient, head_gradient = torch.autograd.grad(found.loss_sum, [hidden, head.weight])
    return found, hidden_gradient, head_gradient


@pytest.mark.parametrize("size", [1, 11 * 5, 11 * 36])
def test_pieces_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, *gradients = report(2**24, monkeypatch)
    pieces, *pieces_gradients = report(size, monkeypatch)
    assert torch.allclose(whole.loss_sum, pieces.loss_sum)
    assert torch.allclose(whole.scale_sums_S, pieces.scale_sums_S)
    for expected, found in zip(gradients, pieces_gradients, strict=True):
        assert torch.allclose(expected, found, atol=1e-6)


def test_no_more_logits_than_allowed_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[int] = []

    def head(hidden: torch.Tensor) -> torch.Tensor:
        shapes.append(len(hidden))
        return hidden.repeat(1, 2)

    monkeypatch.setattr(loss, "MAX_LOGITS", 160)
    zeros = torch.zeros(37, dtype=torch.int64)
    weighted_loss(torch.randn(37, 8), zeros, torch.ones(37), zeros, head=head, vocabulary=16, scales=1)
    assert max(shapes) == 10
    assert sum(shapes) == 37


def test_nothing_supervised_is_a_loss_of_zero() -> None:
    none = torch.empty(0, dtype=torch.int64)
    hidden = torch.empty(0, 8, requires_grad=True)
    found = weighted_loss(
        hidden, none, torch.empty(0), none, head=torch.nn.Linear(8, 11), vocabulary=11, scales=3
    )
    found.loss_sum.backward()
    assert (float(found.loss_sum.detach()), float(found.weight_sum)) == (0, 0)
