"""LPIPS: torchmetrics' on our weights, against the formula; weights that are not VGG-16's are refused."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics.functional.image import lpips as torchmetrics_lpips

from infra.errors import UserError
from jobs.tokenizer.metrics import ALL, ReconstructionMetrics, to_8_bits
from jobs.tokenizer.perceptual import Lpips

WIDTHS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256} | dict.fromkeys(
    (17, 19, 21, 24, 26, 28), 512
)
POOLED = (5, 10, 17, 24)
TAPPED = (2, 7, 14, 21, 28)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights() -> Weights:
    """VGG-16 of random numbers, as torchvision saves it."""
    generator = torch.Generator().manual_seed(0)
    made: Weights = {"classifier.0.weight": torch.zeros(2, 2)}
    before = 3
    for number, width in WIDTHS.items():
        spread = (2 / (9 * before)) ** 0.5
        made[f"features.{number}.weight"] = spread * torch.randn(width, before, 3, 3, generator=generator)
        made[f"features.{number}.bias"] = 0.1 * torch.randn(width, generator=generator)
        before = width
    return made


@pytest.fixture(scope="module")
def vgg16(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.pth"
    torch.save(weights, path)
    return str(path)


@pytest.fixture(scope="module")
def lpips(vgg16: str) -> Lpips:
    return Lpips.load(vgg16)


def images(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 32, 48, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def features(weights: Weights, images_BCHW: Tensor) -> list[Tensor]:
    """What VGG-16 says after the last ReLU before each pooling, and after the last, of length one."""
    shift, scale = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (SHIFT, SCALE))
    hidden, found = (images_BCHW.double() - shift) / scale, []
    for number in WIDTHS:
        if number in POOLED:
            hidden = functional.max_pool2d(hidden, 2)
        weight, bias = (weights[f"features.{number}.{name}"].double() for name in ("weight", "bias"))
        hidden = functional.conv2d(hidden, weight, bias, padding=1).relu()
        if number in TAPPED:
            found.append(hidden / (hidden.square().sum(dim=1, keepdim=True) + 1e-8).sqrt())
    return found


def formula(weights: Weights, images_BCHW: Tensor, others_BCHW: Tensor) -> Tensor:
    folder = Path(inspect.getfile(torchmetrics_lpips)).parent / "lpips_models"
    linear = torch.load(folder / "vgg.pth", map_location="cpu", weights_only=True)
    total_B = torch.zeros(len(images_BCHW), dtype=torch.float64)
    pairs = zip(features(weights, images_BCHW), features(weights, others_BCHW), strict=True)
    for layer, (ours, others) in enumerate(pairs):
        weight = linear[f"lin{layer}.model.1.weight"].double().view(1, -1, 1, 1)
        total_B += (weight * (ours - others).square()).sum(dim=1).mean(dim=(1, 2))
    return total_B


def test_it_is_the_formula(lpips: Lpips, weights: Weights) -> None:
    originals, others = images(2), images(2, seed=1)
    torch.testing.assert_close(
        lpips(originals, others).double(), formula(weights, originals, others), rtol=1e-4, atol=0
    )


def test_equal_pictures_have_no_distance_and_more_noise_has_more(lpips: Lpips) -> None:
    originals, noise = images(2), images(2, seed=1)
    little, much = ((originals + share * noise).clamp(-1, 1) for share in (0.05, 0.5))
    assert lpips(originals, originals).tolist() == [0, 0]
    assert (lpips(originals, little) > 0).all()
    assert (lpips(originals, little) < lpips(originals, much)).all()


def test_figures_have_the_mean_over_pictures_as_they_are_written_to_files(lpips: Lpips) -> None:
    metrics = ReconstructionMetrics(4, lpips=lpips)
    originals, decoded = images(3), images(3, seed=1)
    metrics.update(originals[:1], decoded[:1], torch.zeros(1, 1, dtype=torch.int64))
    metrics.update(originals[1:], decoded[1:], torch.zeros(2, 1, dtype=torch.int64))
    rounded = (to_8_bits(side) / 127.5 - 1 for side in (originals, decoded))
    assert metrics.compute()[ALL].lpips == pytest.approx(float(lpips(*rounded).mean()), rel=1e-4)


def test_gradients_reach_the_pictures_and_nothing_else(lpips: Lpips) -> None:
    decoded = images(1, seed=1).requires_grad_()
    lpips(images(1), decoded).mean().backward()
    assert decoded.grad is not None
    assert decoded.grad.abs().sum() > 0
    trained = nn.ModuleDict({"decoder": nn.Conv2d(3, 3, 1), "lpips": lpips}).train()
    assert {name.split(".")[0] for name, _ in trained.named_parameters()} == {"decoder"}
    assert {name.split(".")[0] for name in trained.state_dict()} == {"decoder"}
    assert torch.equal(lpips(images(1), images(1, seed=1)), lpips(images(1), images(1, seed=1)))


def test_making_it_leaves_the_random_numbers_alone(weights: Weights) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    Lpips(weights)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("shape", [(1, 3, 8, 64), (1, 1, 32, 32), (3, 32, 32)])
def test_wrong_shapes_are_named(lpips: Lpips, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[batch, 3, height, width\] of 16 pixels.*got \("):
        lpips(torch.zeros(shape), torch.zeros(shape))


def test_other_weights_are_one_line_that_names_keys(weights: Weights, tmp_path: Path) -> None:
    few = {name: weight for name, weight in weights.items() if not name.startswith("features.1")}
    other = weights | {"features.0.weight": torch.zeros(64, 1, 3, 3)}
    for number, (content, named) in enumerate([(few, "features.10.weight"), (other, "features.0.weight")]):
        path = tmp_path / f"{number}.pth"
        torch.save(content, path)
        with pytest.raises(UserError) as caught:
            Lpips.load(str(path))
        assert named in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "losses.perceptual to 0" in caught.value.mend


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("exploded"),)


def test_files_that_are_no_weights_are_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Bomb()}, "bomb.pth")
    Path("pickle.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    Path("text.pth").write_text("no weights")
    Path("empty.pth").touch()
    torch.save([torch.zeros(1)], "list.pth")
    for name in ("bomb", "pickle", "text", "empty", "list", "missing"):
        with pytest.raises(UserError) as caught:
            Lpips.load(f"{name}.pth")
        assert caught.value.where == f"{name}.pth"
    assert not Path("exploded").exists()


@pytest.mark.usefixtures("no_network")
def test_without_file_cache_and_network_it_says_what_to_do() -> None:
    with pytest.raises(UserError) as caught:
        Lpips.load(None)
    assert caught.value.where == "tokenizer.vgg16"
    assert "local file" in caught.value.mend
