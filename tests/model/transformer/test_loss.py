"""The loss in pieces is the plain one: cross-entropy of all logits at once, weighted and summed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.utils._python_dispatch import TorchDispatchMode

from model.transformer import loss
from model.transformer.loss import OutputHead, weighted_loss

POSITIONS, WIDTH, ROWS, SCALES = 37, 8, (11, 6), 3
SIZES = [1, 17 * 5, 17 * 36, 2**24]


@dataclass(frozen=True)
class Case:
    hidden: Tensor
    heads: tuple[OutputHead, ...]
    targets: Tensor
    weights: Tensor
    scale: Tensor

    def learning(self) -> list[Tensor]:
        return [x for x in (self.hidden, *(h.weight for h in self.heads)) if x.requires_grad]


def make(dtype: torch.dtype = torch.float32, positions: int = POSITIONS) -> Case:
    torch.manual_seed(0)
    heads = tuple(OutputHead(WIDTH, rows) for rows in ROWS)
    for head in heads:
        torch.nn.init.normal_(head.weight)
    return Case(
        hidden=torch.randn(positions, WIDTH).to(dtype).requires_grad_(),
        heads=tuple(head.to(dtype) for head in heads),
        targets=torch.randint(sum(ROWS), (positions,)),
        weights=torch.rand(positions),
        scale=torch.randint(SCALES + 1, (positions,)),
    )


def ours(case: Case) -> loss.LossReport:
    return weighted_loss(case.hidden, case.targets, case.weights, case.scale, case.heads, SCALES)


def plain_losses(case: Case) -> Tensor:
    logits = torch.cat([linear(case.hidden.float(), head.weight.float()) for head in case.heads], dim=1)
    return cross_entropy(logits, case.targets, reduction="none")


def gradients(total: Tensor, case: Case) -> list[Tensor]:
    return [g.float() for g in torch.autograd.grad(total, case.learning())]


def distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest difference, relative to the size of what is compared."""
    return max(float((f - e).norm() / e.norm()) for f, e in zip(found, expected, strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_losses_and_gradients_are_those_of_the_plain_version(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "MAX_LOGITS", size)
    case = make()
    found, losses = ours(case), plain_losses(case)
    assert torch.allclose(found.loss_sum, (losses * case.weights).sum(), atol=1e-5)
    assert torch.allclose(found.weight_sum, case.weights.sum())
    for scale in range(SCALES + 1):
        of_scale = losses[case.scale == scale]
        assert torch.allclose(found.scale_sums_S[scale], of_scale.sum(), atol=1e-5)
        assert found.scale_counts_S[scale] == len(of_scale)
    # Whatever the sum is multiplied by before the backward pass reaches the gradients.
    expected = gradients((losses * case.weights).sum() * 0.37, case)
    for f, e in zip(gradients(found.loss_sum * 0.37, case), expected, strict=True):
        assert torch.allclose(f, e, atol=1e-5)


def test_another_weight_is_noticed() -> None:
    """A negative control: one position that counts a little more changes every gradient."""
    case = make()
    weights = case.weights.clone()
    weights[5] += 0.1
    changed = gradients(ours(replace(case, weights=weights)).loss_sum, case)
    expected = gradients((plain_losses(case) * case.weights).sum(), case)
    assert all(not torch.allclose(f, e, atol=1e-3) for f, e in zip(changed, expected, strict=True))


def test_large_logits_stay_finite() -> None:
    case = make()
    with torch.no_grad():
        case.hidden.mul_(1e3)
    found = ours(case)
    assert torch.allclose(found.loss_sum, (plain_losses(case) * case.weights).sum(), rtol=1e-5)
    assert all(g.isfinite().all() for g in gradients(found.loss_sum, case))


@pytest.mark.parametrize("size", SIZES)
def test_half_precision_adds_up_in_full(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one position at a time: a sum kept in half precision would be off by more than its rounding."""
    monkeypatch.setattr(loss, "MAX_LOGITS", size)
    case = make(torch.bfloat16, positions=500)
    found, losses = ours(case), plain_losses(case)
    assert found.loss_sum.dtype == found.scale_sums_S.dtype == torch.float32
    assert torch.allclose(found.loss_sum, (losses * case.weights).sum(), rtol=1e-3)
    assert distance(gradients(found.loss_sum, case), gradients((losses * case.weights).sum(), case)) < 0.01


def test_a_head_in_tiles_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make(torch.bfloat16)
    whole = gradients(ours(case).loss_sum, case)
    monkeypatch.setattr(loss, "_ROWS", 4)
    assert distance(gradients(ours(case).loss_sum, case), whole) < 1e-6


@pytest.mark.parametrize("frozen", ["hidden", "first head", "heads", "all"])
def test_what_is_frozen_gets_no_gradient_and_changes_no_other(frozen: str) -> None:
    case = make()
    whole = dict(zip(["hidden", "first", "second"], gradients(ours(case).loss_sum, case), strict=True))
    hidden = case.hidden.detach().requires_grad_(frozen not in ("hidden", "all"))
    case.heads[0].requires_grad_(frozen == "hidden")
    case.heads[1].requires_grad_(frozen in ("hidden", "first head"))
    names = {
        "hidden": ["first", "second"],
        "first head": ["hidden", "second"],
        "heads": ["hidden"],
        "all": [],
    }
    found = ours(replace(case, hidden=hidden)).loss_sum
    assert found.requires_grad == (frozen != "all")
    if frozen != "all":
        got = gradients(found, replace(case, hidden=hidden))
        assert all(torch.equal(g, whole[name]) for g, name in zip(got, names[frozen], strict=True))


def test_without_gradients_the_loss_is_the_same() -> None:
    case = make()
    with torch.no_grad():
        found = ours(case)
    assert not found.loss_sum.requires_grad
    assert torch.equal(found.loss_sum, ours(case).loss_sum)


class _Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = result if isinstance(result, (tuple, list)) else [result]
        self.elements = max(self.elements, *(x.numel() for x in tensors if isinstance(x, Tensor)), 0)
        return result


def test_no_more_logits_than_allowed_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = POSITIONS * WIDTH + 3  # the largest thing else is the hidden states' gradient
    monkeypatch.setattr(loss, "MAX_LOGITS", limit)
    case = make()
    with _Largest() as seen:
        ours(case).loss_sum.backward()
    assert seen.elements <= limit
    with _Largest() as plain:
        plain_losses(case).sum().backward()
    assert plain.elements == POSITIONS * sum(ROWS)


def test_nothing_supervised_is_a_loss_of_zero() -> None:
    case = make()
    none = torch.empty(0, dtype=torch.int64)
    hidden = torch.empty(0, WIDTH, requires_grad=True)
    found = weighted_loss(hidden, none, torch.empty(0), none, case.heads, SCALES)
    found.loss_sum.backward()
    assert (float(found.loss_sum.detach()), float(found.weight_sum)) == (0, 0)
    assert not any(head.weight.grad.any() for head in case.heads)
