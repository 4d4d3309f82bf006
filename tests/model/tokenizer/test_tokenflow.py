"""TokenFlow's checkpoints load with nothing left unexplained, and give TokenFlow's indices and pictures."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import tokenflow_reference as reference
import torch
from safetensors.torch import save_file
from tokenflow_weights import (
    CLIPB,
    CLIPB_ENHANCED,
    SIGLIP,
    SMALL_CLIPB,
    SMALL_CLIPB_ENHANCED,
    SMALL_SIGLIP,
    Size,
    random_weights,
    shapes,
)
from tokenizer_images import random_images
from torch import Tensor

from model.scales import tokenflow
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.tokenizer.tokenflow import convert, read_checkpoint

Pixels = Literal[224, 256, 384]

CASES = [(SMALL_CLIPB, 224), (SMALL_CLIPB_ENHANCED, 256), (SMALL_SIGLIP, 384)]
TINY = replace(SMALL_SIGLIP, width=48, layers=2, hidden=16, codes=16, side=2, teacher=8)
"""Where only names and shapes count."""

PUBLISHED = {
    "encoder.conv_in.weight": (128, 3, 3, 3),
    "encoder.conv_blocks.2.res.0.nin_shortcut.weight": (256, 128, 1, 1),
    "encoder.conv_blocks.3.downsample.conv.weight": (256, 256, 3, 3),
    "encoder.conv_blocks.4.attn.1.q.weight": (512, 512, 1, 1),
    "encoder.mid.1.proj_out.weight": (512, 512, 1, 1),
    "encoder.conv_out.weight": (256, 512, 3, 3),
    "quant_conv.weight": (8, 256, 1, 1),
    "post_quant_conv.weight": (256, 8, 1, 1),
    "encode_task_layer.2.bias": (32,),
    "quantize.embedding_vqkd.weight": (32768, 32),
    "quantize.embedding_vqgan.weight": (32768, 8),
    "quantize.codebook_used": (131072,),
}
CLIP = {
    "encoder_vqkd.class_embedding": (768,),
    "encoder_vqkd.positional_embedding": (197, 768),
    "encoder_vqkd.conv1.weight": (768, 3, 16, 16),
    "encoder_vqkd.transformer.resblocks.11.attn.in_proj_weight": (2304, 768),
    "encoder_vqkd.transformer.resblocks.11.mlp.c_fc.weight": (3072, 768),
    "encoder_vqkd.ln_post.weight": (768,),
    "decoder_vqkd.pos_embed": (1, 197, 768),
    "decoder_vqkd.blocks.2.attn.q_bias": (768,),
    "decode_task_layer.2.weight": (512, 768),
}
TABLES = [
    (CLIPB, 549, 182_033_323, {**PUBLISHED, **CLIP, "decoder.conv_in.weight": (512, 256, 3, 3)}),
    (
        CLIPB_ENHANCED,
        649,
        376_700_715,
        {
            **PUBLISHED,
            **CLIP,
            "decoder.conv_in.weight": (1024, 256, 3, 3),
            "decoder.conv_blocks.0.attn.4.v.weight": (1024, 1024, 1, 1),
            "decoder.conv_blocks.4.res.4.conv2.weight": (256, 256, 3, 3),
            "decoder.conv_out.weight": (3, 256, 3, 3),
        },
    ),
    (
        SIGLIP,
        848,
        554_141_041,
        {
            **PUBLISHED,
            "encoder_vqkd.vision_model.embeddings.patch_embedding.weight": (1152, 3, 14, 14),
            "encoder_vqkd.vision_model.embeddings.position_embedding.weight": (729, 1152),
            "encoder_vqkd.vision_model.encoder.layers.26.mlp.fc1.weight": (4304, 1152),
            "encoder_vqkd.vision_model.head.probe": (1, 1, 1152),
            "encoder_vqkd.vision_model.head.attention.in_proj_weight": (3456, 1152),
            "decoder_vqkd.pos_embed": (1, 730, 1152),
            "decoder_vqkd.patch_embed.proj.weight": (1152, 32, 1, 1),
            "decode_task_layer.2.weight": (1152, 1152),
            "decoder.conv_blocks.3.upsample.conv.bias": (128,),
            "scaling_layer.shift": (1, 3, 1, 1),
        },
    ),
]
"""Names and shapes of TokenFlow's own modules at full size: how many tensors and values, and some of them."""


def loaded(weights: dict[str, Tensor], folder: Path) -> ImageTokenizer:
    """What a user gets: written to a folder, read from there."""
    convert(weights).save(folder)
    return ImageTokenizer.from_pretrained(folder)


def images_of(pixels: Pixels) -> Tensor:
    """Smooth pictures with some noise, in [-1, 1]."""
    smooth = random_images(tokenflow(pixels), 1, seed=3)
    noise = torch.randn(smooth.shape, generator=torch.Generator().manual_seed(4))
    return (smooth + 0.2 * noise).clamp(-1, 1)


def full_size(size: Size) -> dict[str, Tensor]:
    """All tensors of a checkpoint, none of them allocated."""
    return {name: torch.empty(shape, device="meta") for name, shape in shapes(size).items()}


def agreement(first_BN: Tensor, second_BN: Tensor) -> float:
    return float((first_BN == second_BN).double().mean())


# The same results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "pixels"), CASES)
@torch.no_grad()
def test_indices_pictures_and_semantics_are_tokenflows(size: Size, pixels: Pixels, tmp_path: Path) -> None:
    weights, images, schedule = random_weights(size), images_of(pixels), tokenflow(pixels)
    tokenizer = loaded(weights, tmp_path)
    expected_BN = reference.encode(weights, size, images)
    indices_BN = tokenizer.encode(images, schedule)
    assert agreement(indices_BN, expected_BN) >= 0.9999
    assert len(indices_BN.unique()) > size.codes / 3

    pictures, semantics = reference.decode(weights, size, expected_BN, pixels)
    torch.testing.assert_close(
        tokenizer.decode(expected_BN, schedule), pictures.clamp(-1, 1), rtol=0, atol=1e-3
    )
    torch.testing.assert_close(
        tokenizer.decode_semantics(expected_BN, schedule), semantics, rtol=0, atol=1e-3
    )


def by_size(table_ND: Tensor, side: int) -> Tensor:
    """Positions enlarged to a size, which samples other places than TokenFlow does."""
    grid = table_ND[1:].T.reshape(1, -1, 14, 14)
    resized = torch.nn.functional.interpolate(grid, size=(side, side), mode="bicubic")
    return torch.cat([table_ND[:1], resized[0].flatten(1).T])


@torch.no_grad()
def test_the_comparison_sees_where_positions_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    weights, images = random_weights(SMALL_CLIPB), images_of(256)
    expected_BN = reference.encode(weights, SMALL_CLIPB, images)
    monkeypatch.setattr(reference, "positions", by_size)
    assert agreement(reference.encode(weights, SMALL_CLIPB, images), expected_BN) < 0.99


@torch.no_grad()
def test_the_comparison_sees_swapped_weights(tmp_path: Path) -> None:
    weights, images = random_weights(SMALL_CLIPB), images_of(224)
    expected_BN = reference.encode(weights, SMALL_CLIPB, images)
    weights["quantize.embedding_vqgan.weight"] = weights["quantize.embedding_vqgan.weight"].flip(0)
    indices_BN = loaded(weights, tmp_path).encode(images, tokenflow(224))
    assert agreement(indices_BN, expected_BN) < 0.5


def test_both_spellings_of_siglip_give_the_same_weights() -> None:
    with_prefix = convert(random_weights(TINY, vision_prefix="vision_model.")).weights
    without = convert(random_weights(TINY, vision_prefix="")).weights
    assert with_prefix.keys() == without.keys()
    assert all(torch.equal(with_prefix[name], without[name]) for name in with_prefix)


def test_weights_of_half_precision_become_float32(tmp_path: Path) -> None:
    weights = {name: tensor.bfloat16() for name, tensor in random_weights(TINY).items()}
    tokenizer = loaded(weights, tmp_path)
    assert {parameter.dtype for parameter in tokenizer.parameters()} == {torch.float32}
    assert not tokenizer.code_use.any()


# Every tensor -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "tensors", "values", "some"), TABLES)
def test_full_size_checkpoints(size: Size, tensors: int, values: int, some: dict[str, Any]) -> None:
    state = full_size(size)
    assert (len(state), sum(tensor.numel() for tensor in state.values())) == (tensors, values)
    assert {name: tuple(state[name].shape) for name in some} == some
    converted = convert(state)
    with torch.device("meta"):
        wanted = ImageTokenizer(converted.config).state_dict()
    assert {n: w.shape for n, w in converted.weights.items()} == {n: w.shape for n, w in wanted.items()}


def test_the_published_files_have_the_presets_sizes() -> None:
    assert convert(full_size(CLIPB_ENHANCED)).config == TokenizerConfig.preset("tokenflow-clipb")
    assert convert(full_size(SIGLIP)).config == TokenizerConfig.preset("tokenflow-siglip")
    plain = replace(CLIPB_ENHANCED, decoder_channels=128, decoder_blocks=2)
    enhanced = convert(full_size(plain)).config.enhanced()
    assert enhanced == TokenizerConfig.preset("tokenflow-clipb")


@pytest.mark.parametrize(
    ("size", "unused"),
    [
        (CLIPB, {"quantize.codebook_used"}),
        (SIGLIP, {"quantize", "scaling_layer", "head", "post_layernorm", "encoder.layers.26"}),
    ],
)
def test_every_tensor_is_accounted_for(size: Size, unused: set[str]) -> None:
    converted = convert(full_size(size))
    assert [entry.name for entry in converted.report] == list(shapes(size))
    assert all(bool(entry.loaded_as) != bool(entry.unused) for entry in converted.report)
    assert {name for e in converted.report for name in e.loaded_as} == converted.weights.keys() - {"code_use"}
    left_out = [entry.name for entry in converted.report if entry.unused]
    assert all(any(part in name for part in unused) for name in left_out)
    assert all(any(part in name for name in left_out) for part in unused)


# What is refused ----------------------------------------------------------------------------------------

KEY = "decoder_vqkd.blocks.1.attn.qkv.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(KEY), f"^no TokenFlow tokenizer: {KEY} is missing$"),
        (lambda s: s.update(extra=torch.zeros(1)), "^no TokenFlow tokenizer: extra is unknown$"),
        (
            lambda s: s.update({KEY: s[KEY][1:]}),
            rf"{KEY} \(143, 48\) should make .*in_proj_weight \(144, 48\)",
        ),
        (
            lambda s: [s.pop(n) for n in list(s) if "decoder_vqkd.blocks.0" in n],
            "blocks.0.* and 22 more$",
        ),
        (lambda s: s.pop("decoder_vqkd.pos_embed"), "pos_embed is missing"),
        (lambda s: s.update({"quant_conv.weight": torch.zeros(8)}), r"is \(8,\), .* 4 dimensions"),
        (
            lambda s: s.update({"encoder.conv_in.weight": torch.zeros(9, 3, 3, 3)}),
            "no multiples of the first, 9",
        ),
        (lambda s: s.update({"scaling_layer.scale": torch.ones(1, 3, 1, 1)}), "scale is not 0.5"),
        (lambda s: s.update({"encoder_vqkd.head.probe": torch.zeros(1)}), "side by side"),
        (lambda s: s.clear(), "neither encoder_vqkd.conv1.weight nor"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(
    change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    state = random_weights(TINY)
    change(state)
    with pytest.raises(ValueError, match=message):
        convert(state)


# Files --------------------------------------------------------------------------------------------------


def written(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    torch.save(checkpoint, path)
    return read_checkpoint(path)


def test_weights_are_found_where_trainings_keep_them(tmp_path: Path) -> None:
    weights, others = {"a.b": torch.ones(2)}, {"a.b": torch.zeros(2)}
    wrapped = [
        weights,
        {"state_dict": weights},
        {"model": weights, "steps": 3, "args": argparse.Namespace(lr=0.1, scales=[1, 2])},
        {"model": others, "ema": weights},
        {"model": {"module.a.b": torch.ones(2)}},
    ]
    for number, checkpoint in enumerate(wrapped):
        found = written(checkpoint, tmp_path / f"{number}.pt")
        assert found.keys() == weights.keys()
        assert torch.equal(found["a.b"], weights["a.b"])
    save_file(weights, tmp_path / "weights.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "weights.safetensors")["a.b"], weights["a.b"])


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    fuse = tmp_path / "fuse"
    for hidden in (Bomb(fuse), argparse.Namespace(inner=Bomb(fuse))):
        with pytest.raises(ValueError, match="more than tensors"):
            written({"model": {"a": torch.ones(1)}, "args": hidden}, tmp_path / "bomb.pt")
    assert not fuse.exists()
    pickle.loads(pickle.dumps(Bomb(fuse)))
    assert fuse.exists()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02}q\x00."])
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"^no (checkpoint that torch|safetensors)"):
        read_checkpoint(tmp_path / name)


def test_files_without_a_state_dict_are_refused(tmp_path: Path) -> None:
    for checkpoint in ([1, 2], {"model": 3}, {"model": {"a": 1}}, {3: torch.ones(1)}):
        with pytest.raises(ValueError, match="no state dict"):
            written(checkpoint, tmp_path / "a.pt")


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": {"a": torch.ones(10_000)}}, path)
    path.write_bytes(path.read_bytes()[:5_000])
    with pytest.raises(ValueError, match="damaged checkpoint"):
        read_checkpoint(path)
