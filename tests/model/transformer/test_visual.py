from __future__ import annotations

from typing import Literal

import pytest
import torch
from documents import CODES, MODES, SINGLE, SMALL, WIDE, image, make_model, text
from torch.nn.functional import interpolate

from model.scales import ScaleSchedule
from model.transformer.config import ContextMode, TransformerConfig
from model.transformer.layout import ImageGroup, Part, pack


def codes(schedule: ScaleSchedule, seed: int = 0) -> torch.Tensor:
    return torch.randint(CODES, (2, schedule.tokens), generator=torch.Generator().manual_seed(seed))


def group(codes_IN: torch.Tensor, mode: ContextMode = "shifted") -> ImageGroup:
    """Images whose places in a pack do not matter."""
    return ImageGroup(SMALL, mode, codes_IN, torch.empty(len(codes_IN), 0))


@torch.no_grad()
def test_a_block_is_fed_the_upsampled_codes_of_the_scale_before() -> None:
    visual = make_model().visual
    found = codes(WIDE)
    # Scale 3 is 2x3; the scale before is 1x2, tokens 1 and 2.
    rows = visual.codebook(found[:, 1:3]).transpose(1, 2).reshape(2, -1, 1, 2)
    features = interpolate(rows, (2, 3), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
    labels = visual.block(found, WIDE, 1) - visual.markers.weight[0]
    labels = labels - visual.scale.weight[0] + visual.scale.weight[2]
    expected = visual.connect(torch.nn.functional.gelu(visual.widen(features))) + labels
    assert torch.allclose(visual.block(found, WIDE, 3), expected, atol=1e-5)


@torch.no_grad()
def test_accumulated_features_sum_all_scales_before() -> None:
    visual = make_model(input_features="accumulated").visual
    found = codes(SMALL)
    rows = [visual.codebook(found[:, a:b]).transpose(1, 2) for a, b in ((0, 1), (1, 5))]
    grids = [r.reshape(2, -1, s, s) for r, s in zip(rows, (1, 2), strict=True)]
    total = sum(interpolate(g, (3, 3), mode="bicubic") for g in grids)
    features = torch.as_tensor(total).flatten(2).transpose(1, 2)
    label = visual.block(found, SMALL, 1) - visual.markers.weight[0]
    label = label - visual.scale.weight[0] + visual.scale.weight[2]
    expected = visual.connect(torch.nn.functional.gelu(visual.widen(features))) + label
    assert torch.allclose(visual.block(found, SMALL, 3), expected, atol=1e-5)


@pytest.mark.parametrize(("features", "reaches"), [("residual", False), ("accumulated", True)])
@torch.no_grad()
def test_how_far_a_code_reaches(features: Literal["residual", "accumulated"], reaches: bool) -> None:
    visual = make_model(input_features=features).visual
    found = codes(SMALL)
    changed = found.clone()
    changed[:, 0] = (changed[:, 0] + 1) % CODES
    assert not torch.equal(visual.block(found, SMALL, 2), visual.block(changed, SMALL, 2))
    assert torch.equal(visual.block(found, SMALL, 3), visual.block(changed, SMALL, 3)) is not reaches


@torch.no_grad()
def test_the_finest_codes_are_never_inputs() -> None:
    visual = make_model().visual
    found = codes(SMALL)
    changed = found.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % CODES
    assert torch.equal(visual([group(found)]), visual([group(changed)]))


@pytest.mark.parametrize("features", ["residual", "accumulated"])
@torch.no_grad()
def test_an_image_that_is_read_is_fed_its_own_codes(features: Literal["residual", "accumulated"]) -> None:
    """`native`: block s shows scale s, or the sum up to it; `final`: the last grid shows the sum of all."""
    visual = make_model(input_features=features).visual
    found = codes(SMALL)
    rows = visual.codebook(found).transpose(1, 2)
    grids = [rows[..., a:b].reshape(2, -1, s, s) for s, a, b in ((1, 0, 1), (2, 1, 5), (3, 5, 14))]
    on_last = [interpolate(grid, (3, 3), mode="bicubic") for grid in grids]
    whole = torch.stack(on_last).sum(0)
    second = grids[1] if features == "residual" else interpolate(on_last[0] + on_last[1], (2, 2), mode="area")

    def fed(features_ICHW: torch.Tensor, scale: int) -> torch.Tensor:
        label = visual.block(found, SMALL, 1) - visual.markers.weight[0]
        label = label - visual.scale.weight[0] + visual.scale.weight[scale - 1]
        inputs = visual.widen(features_ICHW.flatten(2).transpose(1, 2))
        return visual.connect(torch.nn.functional.gelu(inputs)) + label

    native, final = (visual([group(found, m)]).unflatten(0, (2, -1)) for m in ("native", "final"))
    assert torch.allclose(native[:, 2:6], fed(second, 2), atol=1e-5)
    assert torch.allclose(native[:, :1], visual.block(found, SMALL, 1), atol=1e-5)
    assert torch.allclose(final[:, 1:-1], fed(whole, 3), atol=1e-5)
    assert native.shape[1] == 14 + 2
    assert final.shape[1] == 9 + 2


@torch.no_grad()
def test_the_number_of_scales_is_seen_once_trained() -> None:
    visual = make_model().visual
    found = codes(SMALL)
    longer = ScaleSchedule("longer", (*SMALL.grids, (4, 4)))
    assert not torch.allclose(visual.block(found, SMALL, 2), visual.block(found, longer, 2))
    visual.reset_parameters()
    assert torch.equal(visual.block(found, SMALL, 2), visual.block(found, longer, 2))


@pytest.mark.parametrize(
    "documents", [[], [[image()]], [[image(), image(WIDE, 1)], [image(SMALL, 2), image(SINGLE)]]]
)
def test_every_layer_is_called_once_whatever_the_images(documents: list[list[Part]]) -> None:
    """Also for text alone; and each of its weights gets a gradient. Processes that share them rely on it."""
    model = make_model()
    called: list[str] = []
    for name, layer in model.visual.named_children():
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
    model(pack([[text(3)], *documents], model.config)).loss_sum.backward()
    assert sorted(called) == sorted(name for name, _ in model.visual.named_children())
    assert all(p.grad is not None for p in model.visual.parameters())


@pytest.mark.parametrize("config", MODES)
@torch.no_grad()
def test_images_of_several_shapes_are_fed_what_each_is_alone(config: TransformerConfig) -> None:
    visual = make_model(context_mode=config.context_mode).visual
    parts = [image(SMALL), image(WIDE, 1), image(SMALL, 2, loss=False), image(SINGLE, 3, loss=False)]
    groups = pack([parts], config).images
    assert len(groups) > 1
    alone = torch.cat([visual([group]) for group in groups])
    assert torch.allclose(visual(groups), alone, atol=1e-5)
