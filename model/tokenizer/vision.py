"""The semantic encoders: vision transformers of transformers, each on the grid of its patches.

Shapes: B batch, H W pixels, N patches of a picture row by row, D width, K values of a patch.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    Siglip2VisionConfig,
    Siglip2VisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from model.pretrained import load_published
from model.tokenizer.config import TokenizerConfig
from model.tokenizer.positions import learned_positions


class VisionTower(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] to states [B, N, D], one for each patch.

    `core` is the transformer without what transformers wraps around it in some of its versions, so that
    names of weights stay the same.
    """

    def __init__(self, model: nn.Module, config: TokenizerConfig) -> None:
        super().__init__()
        self.patch = config.stride
        self.core: Any = getattr(model, "vision_model", model)
        if not config.vision_final_norm:
            self.core.post_layernorm = nn.Identity()

    def grid(self, images_BCHW: Tensor) -> tuple[int, int]:
        """Rows and columns of patches; pixels beyond the last whole patch do not count."""
        return images_BCHW.shape[-2] // self.patch, images_BCHW.shape[-1] // self.patch


class Siglip2Tower(VisionTower):
    """SigLIP2 NaFlex: any size and aspect ratio, no resizing of the picture."""

    def __init__(self, config: TokenizerConfig) -> None:
        settings = Siglip2VisionConfig(
            **_sizes(config), num_patches=config.vision_patches, vision_use_head=False
        )
        super().__init__(Siglip2VisionModel(settings), config)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """States of all patches."""
        rows, columns = self.grid(images_BCHW)
        shapes_B2 = torch.tensor([[rows, columns]] * len(images_BCHW), device=images_BCHW.device)
        embedded_BND = self.core.embeddings(patches(images_BCHW, self.patch), shapes_B2)
        hidden_BND = self.core.encoder(inputs_embeds=embedded_BND, attention_mask=None).last_hidden_state
        states_BND: Tensor = self.core.post_layernorm(hidden_BND)
        return states_BND


class SiglipTower(VisionTower):
    """SigLIP at the resolution it was trained for; its positions are interpolated to others."""

    def __init__(self, config: TokenizerConfig) -> None:
        settings = SiglipVisionConfig(**_sizes(config), image_size=_table_side(config), vision_use_head=False)
        super().__init__(SiglipVisionModel(settings), config)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """States of all patches."""
        rows, columns = self.grid(images_BCHW)
        positions_ND = self.core.embeddings.position_embedding.weight
        embedded_BND = self.core.embeddings.patch_embedding(images_BCHW).flatten(2).transpose(1, 2)
        embedded_BND = embedded_BND + learned_positions(positions_ND, rows, columns)
        hidden_BND = self.core.encoder(inputs_embeds=embedded_BND, attention_mask=None).last_hidden_state
        states_BND: Tensor = self.core.post_layernorm(hidden_BND)
        return states_BND


class ClipTower(VisionTower):
    """OpenAI's CLIP, with a class token and QuickGELU. TokenFlow feeds it images in [-1, 1] as they are."""

    def __init__(self, config: TokenizerConfig) -> None:
        settings = CLIPVisionConfig(**_sizes(config), image_size=_table_side(config), hidden_act="quick_gelu")
        super().__init__(CLIPVisionModel(settings), config)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """States of all patches, without the class token's."""
        rows, columns = self.grid(images_BCHW)
        embeddings = self.core.embeddings
        class_D, table_ND = embeddings.class_embedding, embeddings.position_embedding.weight
        patches_BND = embeddings.patch_embedding(images_BCHW).flatten(2).transpose(1, 2)
        patches_BND = patches_BND + learned_positions(table_ND[1:], rows, columns)
        class_B1D = (class_D + table_ND[0]).expand(len(patches_BND), 1, -1)
        hidden_BND = self.core.pre_layrnorm(torch.cat([class_B1D, patches_BND], dim=1))
        hidden_BND = self.core.encoder(inputs_embeds=hidden_BND, attention_mask=None).last_hidden_state
        states_BND: Tensor = self.core.post_layernorm(hidden_BND)[:, 1:]
        return states_BND


_TOWERS = {"siglip2": Siglip2Tower, "siglip": SiglipTower, "clip": ClipTower}


def build_vision_tower(config: TokenizerConfig) -> VisionTower:
    """The semantic encoder of a config, with random weights."""
    return _TOWERS[config.vision](config)


def load_vision_tower(tower: VisionTower, name: str) -> None:
    """Load the vision part of a published model into a tower of its kind and sizes.

    Args:
        name: a local folder or a hub name, such as `google/siglip2-so400m-patch16-naflex`. Layers that the
            tower leaves out, and the pooling head, are not loaded.

    Raises:
        ValueError: there is no such model, or its sizes are others; names the first that differs.
    """
    _fill(tower.core, load_published(_MODELS[type(tower)], name, optional=_HEAD), name)


def frozen_teacher(tower: VisionTower, name: str | None) -> nn.Module:
    """What the semantic decoder learns to give back: a fixed module, [B, 3, H, W] -> [B, N, D].

    For SigLIP and SigLIP2 that is a copy of the encoder as it starts; CLIP's patches go through its
    projection (TokenFlow), which comes from the published model `name`.

    Raises:
        ValueError: CLIP without a name, or there is no such model.
    """
    if not isinstance(tower, ClipTower):
        return copy.deepcopy(tower).requires_grad_(False).eval()
    if name is None:
        raise ValueError("CLIP as a teacher needs the name of its published model")
    return ClipTeacher(tower, name).requires_grad_(False).eval()


class ClipTeacher(nn.Module):
    """CLIP's patch states in the space it shares with text, from images normalised as CLIP's."""

    def __init__(self, tower: ClipTower, name: str) -> None:
        super().__init__()
        self.tower = copy.deepcopy(tower)
        model = load_published(CLIPVisionModelWithProjection, name)
        self.projection = model.visual_projection

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Projected states [B, N, D]."""
        mean_31 = images_BCHW.new_tensor(OPENAI_CLIP_MEAN)[:, None, None]
        deviation_31 = images_BCHW.new_tensor(OPENAI_CLIP_STD)[:, None, None]
        states_BND: Tensor = self.projection(self.tower(((images_BCHW + 1) / 2 - mean_31) / deviation_31))
        return states_BND


_HEAD = ".head."
"""Of the pooling head, which no tower has."""

_MODELS: dict[type[VisionTower], Any] = {
    Siglip2Tower: Siglip2VisionModel,
    SiglipTower: SiglipVisionModel,
    ClipTower: CLIPVisionModel,
}


def _fill(core: nn.Module, model: nn.Module, name: str) -> None:
    found = getattr(model, "vision_model", model).state_dict()
    wanted = core.state_dict()
    for key, value in wanted.items():
        if key not in found or found[key].shape != value.shape:
            shape = tuple(found[key].shape) if key in found else "nothing"
            raise ValueError(f"{name}: {key} is {shape}, the tokenizer's preset has {tuple(value.shape)}")
    core.load_state_dict({key: found[key] for key in wanted})


def patches(images_BCHW: Tensor, patch: int) -> Tensor:
    """Cuts images into [B, N, patch * patch * 3], the layout of SigLIP2's image processor.

    Patches run row by row; within one, values run by row, column, channel.
    """
    batch, channels, height, width = images_BCHW.shape
    cut_BKN = functional.unfold(images_BCHW, patch, stride=patch)
    cells = (height // patch) * (width // patch)
    return cut_BKN.transpose(1, 2).reshape(batch, cells, channels, patch * patch).transpose(2, 3).flatten(2)


def _sizes(config: TokenizerConfig) -> dict[str, Any]:
    return {
        "hidden_size": config.vision_width,
        "intermediate_size": config.vision_intermediate,
        "num_hidden_layers": config.vision_layers,
        "num_attention_heads": config.vision_heads,
        "patch_size": config.stride,
    }


def _table_side(config: TokenizerConfig) -> int:
    """Pixels per side of a picture with one patch for each position of the encoder's table."""
    return math.isqrt(config.vision_patches) * config.stride
