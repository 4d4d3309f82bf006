"""The semantic encoder: pictures and texts in one space, in the shape of SigLIP2 NaFlex (arXiv 2502.14786).

The vision tower has the sizes of the tokenizer's semantic branch and the text tower the same width, layers
and heads, so a small one can be trained where no published weights are at hand. Either kind is a
transformers `Siglip2Model` and loads the same way.

Shapes: B batch, H W pixels, N patches of a picture, M of all, K values of a patch, T positions of a text,
D width of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Siglip2Config, Siglip2Model

from model.pretrained import load_published, quiet
from model.text import TextTokenizer
from model.tokenizer.config import TokenizerConfig
from model.tokenizer.vision import patches

CONTEXT = 64
"""Positions of every text, as SigLIP2 was trained: shorter ones are padded, longer ones cut."""

INITIAL_SCALE = math.log(10.0)
INITIAL_BIAS = -10.0
"""Of the logits, where SigLIP starts (arXiv 2303.15343)."""

_LEAST_VARIANCE = 0.1
"""Added to the variances that whitening divides by: directions with less are mostly noise, and stay small."""


def new_semantic_encoder(config: TokenizerConfig, text: TextTokenizer, seed: int) -> Siglip2Model:
    """An untrained encoder of a tokenizer's sizes over a text tokenizer's ids; depends on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Siglip2Model(_siglip2_config(config, text))
    with torch.no_grad():
        model.logit_scale.fill_(INITIAL_SCALE)
        model.logit_bias.fill_(INITIAL_BIAS)
    return model


@torch.no_grad()
def start_from_data(encoder: Siglip2Model, images_BCHW: Tensor, ids_BT: Tensor) -> None:
    """Fits an untrained encoder to the first batch of pairs; a short training gets much further from there.

    - Patches are embedded whitened: edges, which tell forms, count as much as the brightness around them.
    - The middle of the images' embeddings, and of the texts', is moved to the origin: they begin spread out
      instead of all alike.
    - The bias of the logits is the log odds that a pair of the batch belongs together. SigLIP's -10 is that
      of its batch of 32 thousand.
    """
    _whiten(encoder.vision_model.embeddings.patch_embedding, patches(images_BCHW, _patch_of(encoder)))
    encoder.vision_model.head.mlp.fc2.bias -= _pooled_images(encoder, images_BCHW).mean(dim=0)
    encoder.text_model.head.bias -= encoder.text_model(input_ids=ids_BT).pooler_output.mean(dim=0)
    encoder.logit_bias.fill_(-math.log(len(ids_BT) - 1))


def load_semantic_encoder(name: str | Path) -> Siglip2Model:
    """A SigLIP2 that `save_pretrained` wrote, in float32 and ready to embed: a local folder or a hub name.

    Only safetensors are read.

    Raises:
        ValueError: there is none, or its weights are not those of a SigLIP2 with its pooling head.
    """
    try:
        found = Siglip2Config.get_config_dict(name)[0].get("model_type")
    except OSError as error:
        raise ValueError(f"no Siglip2Model at {str(name)!r}: {error}") from error
    if found != "siglip2":
        raise ValueError(f"no Siglip2Model at {str(name)!r}: its config.json is of a {found!r}")
    model: Siglip2Model = load_published(Siglip2Model, name)
    if not model.config.vision_config.vision_use_head:
        raise ValueError(f"the Siglip2Model at {str(name)!r} has no pooling head")
    return model.eval()


def save_semantic_encoder(encoder: Siglip2Model, folder: str | Path) -> None:
    """Writes `config.json` and `model.safetensors` into a folder, which it makes."""
    with quiet():
        encoder.save_pretrained(folder)


def embed_images(encoder: Siglip2Model, images_BCHW: Tensor) -> Tensor:
    """Embeddings [B, D] of length one; images are [B, 3, H, W] in [-1, 1], of any size and aspect ratio.

    Pixels to the right and below the last whole patch are not seen.

    Raises:
        ValueError: the images have another shape, or are smaller than a patch.
    """
    patch = _patch_of(encoder)
    if images_BCHW.ndim != 4 or images_BCHW.shape[1] != 3 or min(images_BCHW.shape[2:]) < patch:
        raise ValueError(
            f"images of [B, 3, H, W] with sides of at least {patch} pixels, got {tuple(images_BCHW.shape)}"
        )
    return functional.normalize(_pooled_images(encoder, images_BCHW), dim=-1)


def embed_texts(encoder: Siglip2Model, ids_BT: Tensor) -> Tensor:
    """Embeddings [B, D] of length one; every text fills the T positions that the encoder was trained with."""
    pooled_BD: Tensor = encoder.text_model(input_ids=ids_BT).pooler_output
    return functional.normalize(pooled_BD, dim=-1)


def text_ids(text: TextTokenizer, captions: Sequence[str], context: int = CONTEXT) -> Tensor:
    """Ids [B, T] of captions, padded with the end id.

    The text tower reads its embedding off the last position, so that one always holds the end id.
    """
    rows = [text.encode(caption)[: context - 1] for caption in captions]
    padded = [ids + [text.end_id] * (context - len(ids)) for ids in rows]
    return torch.tensor(padded, dtype=torch.int64).reshape(-1, context)


def _pooled_images(encoder: Siglip2Model, images_BCHW: Tensor) -> Tensor:
    patch, batch = _patch_of(encoder), len(images_BCHW)
    values_BNK = patches(images_BCHW, patch)
    grid = [images_BCHW.shape[2] // patch, images_BCHW.shape[3] // patch]
    pooled_BD: Tensor = encoder.vision_model(
        pixel_values=values_BNK,
        pixel_attention_mask=torch.ones(values_BNK.shape[:2], dtype=torch.int64, device=images_BCHW.device),
        spatial_shapes=torch.tensor([grid] * batch, device=images_BCHW.device),
    ).pooler_output
    return pooled_BD


def _whiten(embedding: nn.Linear, values_BNK: Tensor) -> None:
    """Has a linear layer see its inputs with their mean at zero and all their directions equally wide."""
    values_MK = values_BNK.flatten(0, 1).double()
    mean_K = values_MK.mean(dim=0)
    variances_K, directions_KK = torch.linalg.eigh((values_MK - mean_K).T.cov())
    shrink_K = (variances_K.clamp_min(0) + _LEAST_VARIANCE).rsqrt()
    weight_DK = embedding.weight.double() @ (directions_KK * shrink_K) @ directions_KK.T
    embedding.weight.copy_(weight_DK)
    embedding.bias.copy_(-weight_DK @ mean_K)


def _patch_of(encoder: Siglip2Model) -> int:
    patch: int = encoder.config.vision_config.patch_size
    return patch


def _siglip2_config(config: TokenizerConfig, text: TextTokenizer) -> Siglip2Config:
    """What an encoder needs to know of a tokenizer: six sizes and the vocabulary."""
    tower = {
        "hidden_size": config.vision_width,
        "intermediate_size": config.vision_intermediate,
        "num_hidden_layers": config.vision_layers,
        "num_attention_heads": config.vision_heads,
    }
    vision = {"num_patches": config.vision_patches, "patch_size": config.stride, "vision_use_head": True}
    special = {"pad_token_id": text.end_id, "eos_token_id": text.end_id, "bos_token_id": None}
    words = {"vocab_size": text.size, "max_position_embeddings": CONTEXT}
    return Siglip2Config(vision_config=tower | vision, text_config=tower | words | special)
