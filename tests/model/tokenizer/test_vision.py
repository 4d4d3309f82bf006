"""The semantic encoders: as transformers runs them, published models into them, and their teachers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionModel,
    Siglip2Config,
    Siglip2Model,
    Siglip2VisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from model.tokenizer import TokenizerConfig
from model.tokenizer.vision import build_vision_tower, frozen_teacher, load_vision_tower, patches

BLOCKS: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
SIZES: dict[str, Any] = BLOCKS | {"num_hidden_layers": 3, "patch_size": 16}
TEXT: dict[str, Any] = BLOCKS | {"num_hidden_layers": 1, "vocab_size": 50}
PENULTIMATE = replace(
    TokenizerConfig.preset("tiny"), vision_layers=2, vision_final_norm=False, vision_patches=16
)
LAST = replace(PENULTIMATE, vision_layers=3, vision_final_norm=True)
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def siglip2(folder: Path) -> Siglip2Model:
    """A whole SigLIP2, text half and all, as hubs have them."""
    torch.manual_seed(1)
    model = Siglip2Model(Siglip2Config(text_config=TEXT, vision_config=SIZES | {"num_patches": 16})).eval()
    model.save_pretrained(folder)
    return model


def states(model: Any, images: torch.Tensor, layer: int) -> torch.Tensor:
    """What a whole SigLIP2 vision model gives after some layer; -1 is after the final norm."""
    rows, columns = images.shape[-2] // 16, images.shape[-1] // 16
    output = model(
        pixel_values=patches(images, 16),
        pixel_attention_mask=torch.ones(len(images), rows * columns, dtype=torch.int64),
        spatial_shapes=torch.tensor([[rows, columns]] * len(images)),
        output_hidden_states=True,
    )
    return output.last_hidden_state if layer == -1 else output.hidden_states[layer]


@pytest.mark.parametrize(("config", "layer"), [(PENULTIMATE, -2), (LAST, -1)])
@pytest.mark.parametrize("size", [(64, 64), (32, 80), (16, 16)])
@torch.no_grad()
def test_siglip2_runs_as_in_transformers_at_any_size(
    config: TokenizerConfig, layer: int, size: tuple[int, int], tmp_path: Path
) -> None:
    vision = Siglip2VisionModel.from_pretrained(siglip2(tmp_path).name_or_path or tmp_path)
    tower = build_vision_tower(config).eval()
    load_vision_tower(tower, str(tmp_path))
    images = torch.rand(2, 3, *size) * 2 - 1
    assert torch.allclose(tower(images), states(vision, images, layer), atol=1e-5)


@torch.no_grad()
def test_siglip_gives_penultimate_states(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = SiglipVisionModel(SiglipVisionConfig(**SIZES, image_size=64)).eval()
    model.save_pretrained(tmp_path)
    tower = build_vision_tower(replace(PENULTIMATE, vision="siglip")).eval()
    load_vision_tower(tower, str(tmp_path))
    expected = model(IMAGES, output_hidden_states=True).hidden_states[-2]
    assert torch.allclose(tower(IMAGES), expected, atol=1e-5)


def clip(folder: Path) -> CLIPModel:
    """A whole CLIP, projections and all."""
    torch.manual_seed(1)
    vision = SIZES | {"image_size": 64, "hidden_act": "quick_gelu", "projection_dim": 24}
    model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=24)).eval()
    model.save_pretrained(folder)
    return model


@torch.no_grad()
def test_clip_gives_normalised_states_of_its_patches(tmp_path: Path) -> None:
    clip(tmp_path)
    model = CLIPVisionModel.from_pretrained(tmp_path).eval()
    tower = build_vision_tower(replace(LAST, vision="clip")).eval()
    load_vision_tower(tower, str(tmp_path))
    last = model(IMAGES).last_hidden_state
    norm = getattr(model, "vision_model", model).post_layernorm
    assert torch.allclose(tower(IMAGES), norm(last)[:, 1:], atol=1e-5)


@torch.no_grad()
def test_clips_teacher_projects_images_normalised_as_clips(tmp_path: Path) -> None:
    whole = clip(tmp_path)
    tower = build_vision_tower(replace(LAST, vision="clip")).eval()
    load_vision_tower(tower, str(tmp_path))
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    expected = tower(((IMAGES + 1) / 2 - mean) / deviation) @ whole.visual_projection.weight.T
    assert torch.allclose(frozen_teacher(tower, str(tmp_path))(IMAGES), expected, atol=1e-5)
    with pytest.raises(ValueError, match="needs the name"):
        frozen_teacher(tower, None)


def drop_a_layer(weights: dict[str, torch.Tensor]) -> None:
    del weights["vision_model.encoder.layers.0.mlp.fc1.weight"]


@pytest.mark.parametrize("spoil", [drop_a_layer])
def test_a_model_without_all_its_weights_is_refused(
    spoil: Callable[[dict[str, torch.Tensor]], None], tmp_path: Path
) -> None:
    """transformers itself would go on with random ones."""
    siglip2(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    spoil(weights)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights are missing, .*layers\.0\.mlp\.fc1\.weight"):
        load_vision_tower(build_vision_tower(PENULTIMATE), str(tmp_path))


def test_models_of_other_sizes_and_none_at_all_are_refused(tmp_path: Path) -> None:
    siglip2(tmp_path)
    other = build_vision_tower(replace(PENULTIMATE, vision_width=64))
    with pytest.raises(ValueError, match=r"patch_embedding\.\w+ is \(32.*\), .* preset has \(64"):
        load_vision_tower(other, str(tmp_path))
    with pytest.raises(ValueError, match="no Siglip2VisionModel at"):
        load_vision_tower(build_vision_tower(PENULTIMATE), str(tmp_path / "nothing"))
