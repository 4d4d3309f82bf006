"""The semantic encoder: transformers' SigLIP2 in every way that can be seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from transformers import Siglip2ImageProcessor, Siglip2Model

from model.semantic import (
    embed_images,
    embed_texts,
    load_semantic_encoder,
    new_semantic_encoder,
    save_semantic_encoder,
    start_from_data,
    text_ids,
)
from model.text import load_text_tokenizer
from model.tokenizer import TokenizerConfig
from model.tokenizer.vision import patches

TEXT = load_text_tokenizer()
CONFIG = TokenizerConfig.preset("tiny")
CAPTIONS = ["a red circle", "two blue stars on a white background", ""]


def noise(height: int, width: int, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(batch, 3, height, width, generator=generator) * 2 - 1


@torch.no_grad()
def alikeness(embed: Callable[[], Tensor]) -> float:
    """The mean cosine of two embeddings."""
    embeddings_BD = embed()
    return float((embeddings_BD @ embeddings_BD.T).mean())


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def encoder() -> Siglip2Model:
    return new_semantic_encoder(CONFIG, TEXT, seed=0).eval()


@pytest.fixture
def folder(encoder: Siglip2Model, tmp_path: Path) -> Path:
    save_semantic_encoder(encoder, tmp_path / "model")
    return tmp_path / "model"


@torch.no_grad()
def test_logits_are_those_of_siglip2_on_its_own_inputs(encoder: Siglip2Model) -> None:
    """Its processor pads the patches of a wide picture; its forward pass has its own normalisation."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8)
    processor = Siglip2ImageProcessor(patch_size=16, max_num_patches=32, do_resize=False)
    inputs = processor(Image.fromarray(pixels), return_tensors="pt")
    assert inputs["pixel_attention_mask"].sum() == 18
    ids_BT = text_ids(TEXT, CAPTIONS)
    wanted = encoder(input_ids=ids_BT, **inputs).logits_per_image
    image_BCHW = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
    cosines = embed_images(encoder, image_BCHW) @ embed_texts(encoder, ids_BT).T
    torch.testing.assert_close(cosines * encoder.logit_scale.exp() + encoder.logit_bias, wanted)
    torch.testing.assert_close(encoder.logit_scale.exp(), torch.tensor([10.0]))
    assert encoder.logit_bias.item() == -10


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 16), (32, 128), (128, 48), (80, 160)])
def test_any_aspect_ratio_has_an_embedding(encoder: Siglip2Model, height: int, width: int) -> None:
    embeddings_BD = embed_images(encoder, noise(height, width, batch=2))
    assert embeddings_BD.shape == (2, CONFIG.vision_width)
    torch.testing.assert_close(embeddings_BD.norm(dim=-1), torch.ones(2))
    assert not torch.allclose(*embeddings_BD, atol=1e-3)


@torch.no_grad()
def test_the_same_patches_in_another_shape_are_another_picture(encoder: Siglip2Model) -> None:
    wide_BCHW = noise(32, 32).repeat(1, 1, 1, 2)
    tall_BCHW = wide_BCHW.transpose(2, 3).contiguous()
    a, b = embed_images(encoder, wide_BCHW), embed_images(encoder, tall_BCHW)
    assert not torch.allclose(a, b, atol=1e-3)


@torch.no_grad()
def test_pixels_beyond_the_last_patch_are_not_seen(encoder: Siglip2Model) -> None:
    image_BCHW = noise(70, 90)
    torch.testing.assert_close(
        embed_images(encoder, image_BCHW), embed_images(encoder, image_BCHW[:, :, :64, :80])
    )


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 15, 64)])
def test_other_shapes_are_named(encoder: Siglip2Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=str(shape)[1:-1]):
        embed_images(encoder, torch.zeros(shape))


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=300), max_size=4))
def test_the_position_that_is_pooled_holds_the_end_id(captions: list[str]) -> None:
    ids_BT = text_ids(TEXT, captions, context=16)
    assert ids_BT.shape == (len(captions), 16)
    assert (ids_BT[:, -1] == TEXT.end_id).all()
    for ids_T, caption in zip(ids_BT.tolist(), captions, strict=True):
        expected = TEXT.encode(caption)[:15]
        assert ids_T == expected + [TEXT.end_id] * (16 - len(expected))


def test_the_seed_alone_decides_and_nothing_else_is_touched() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = new_semantic_encoder(CONFIG, TEXT, seed=1).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again = new_semantic_encoder(CONFIG, TEXT, seed=1).state_dict()
    other = new_semantic_encoder(CONFIG, TEXT, seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    name = "vision_model.embeddings.patch_embedding.weight"
    assert not torch.equal(first[name], other[name])


def test_it_starts_from_data_spread_out_and_at_the_odds_of_a_batch() -> None:
    encoder = new_semantic_encoder(CONFIG, TEXT, seed=0).eval()
    images_BCHW = 0.9 + 0.1 * noise(64, 64, batch=24)
    ids_BT = text_ids(TEXT, [f"a picture of {number} things" for number in range(24)])
    embed = partial(embed_images, encoder, images_BCHW), partial(embed_texts, encoder, ids_BT)
    assert min(map(alikeness, embed)) > 0.8
    start_from_data(encoder, images_BCHW, ids_BT)
    assert max(map(alikeness, embed)) < 0.2
    assert encoder.logit_bias.item() == pytest.approx(-np.log(23))


@torch.no_grad()
def test_patches_are_whitened() -> None:
    """Embedded, patches of covariance C have W (C + eps)^-1 C W', by a solver instead of eigenvectors."""
    encoder = new_semantic_encoder(CONFIG, TEXT, seed=0).eval()
    images_BCHW = noise(64, 64, batch=64) + 3 * noise(1, 1, batch=64)
    values_MK = patches(images_BCHW, 16).flatten(0, 1)
    layer = encoder.vision_model.embeddings.patch_embedding
    before_DK = layer.weight.double()
    start_from_data(encoder, images_BCHW, text_ids(TEXT, CAPTIONS))
    embedded_MD = layer(values_MK).double()
    torch.testing.assert_close(embedded_MD.mean(dim=0), torch.zeros(32).double(), atol=1e-4, rtol=0)
    covariance_KK = values_MK.double().T.cov()
    shrunk_KK = torch.linalg.solve(covariance_KK + 0.1 * torch.eye(768), covariance_KK)
    expected_DD = before_DK @ shrunk_KK @ before_DK.T
    torch.testing.assert_close(embedded_MD.T.cov(), expected_DD, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_a_saved_encoder_loads_as_any_siglip2(encoder: Siglip2Model, folder: Path) -> None:
    theirs = Siglip2Model.from_pretrained(folder, use_safetensors=True).eval()
    ours = load_semantic_encoder(folder)
    image_BCHW, ids_BT = noise(48, 64), text_ids(TEXT, CAPTIONS)
    for loaded in (theirs, ours):
        assert torch.equal(embed_images(loaded, image_BCHW), embed_images(encoder, image_BCHW))
        assert torch.equal(embed_texts(loaded, ids_BT), embed_texts(encoder, ids_BT))


def test_weights_of_half_the_bits_are_loaded_as_float32(encoder: Siglip2Model, tmp_path: Path) -> None:
    new_semantic_encoder(CONFIG, TEXT, seed=0).bfloat16().save_pretrained(tmp_path)
    assert {p.dtype for p in load_semantic_encoder(tmp_path).parameters()} == {torch.float32}


def test_an_empty_folder_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Siglip2Model at"):
        load_semantic_encoder(tmp_path)


def test_a_model_of_another_kind_is_no_encoder(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))
    with pytest.raises(ValueError, match=r"no Siglip2Model at .* 'siglip'"):
        load_semantic_encoder(folder)


def test_pickled_weights_are_not_read(encoder: Siglip2Model, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(encoder.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no Siglip2Model at"):
        load_semantic_encoder(folder)


def test_cut_off_weights_are_no_encoder(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])
    with pytest.raises(ValueError, match="no Siglip2Model at"):
        load_semantic_encoder(folder)


def test_an_encoder_without_its_pooling_head_is_not_whole(encoder: Siglip2Model, tmp_path: Path) -> None:
    kept = {name: value for name, value in encoder.state_dict().items() if "vision_model.head" not in name}
    encoder.save_pretrained(tmp_path, state_dict=kept)
    with pytest.raises(ValueError, match=r"weights are missing, vision_model\.head"):
        load_semantic_encoder(tmp_path)
