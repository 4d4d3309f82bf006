"""Starting from a published Qwen2.5, or from the language model of a Qwen2.5-VL (paper 2.2).

Text keeps its weights: logits of text alone equal those of transformers. What images bring is new and
starts at the sizes that the checkpoint's own text has.

Shapes: V codes, C width of a code's row, R rows, E hidden width.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import AutoConfig
from transformers.utils import cached_file

from model.pretrained import quiet
from model.transformer.checkpoint import (
    StoredTensor,
    check_tensors,
    copy_tensors,
    in_folder,
    list_tensors,
    weight_files,
)
from model.transformer.config import TransformerConfig
from model.transformer.model import NextScaleTransformer

_KINDS = ("qwen2", "qwen2_5_vl")
_VISION = re.compile(r"(model\.)?visual\.")
_TEXT = re.compile(
    r"(?:model\.language_model|language_model\.model|model)\.((?:embed_tokens|layers|norm)\..+)"
)
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def qwen_config(
    name: str | Path,
    *,
    text_vocabulary: int,
    codebook_size: int,
    codebook_width: int,
    end_id: int,
) -> TransformerConfig:
    """The shape of a checkpoint's language model, with the vocabularies of our tokenizers.

    Args:
        name: a local folder or a hub name with a Qwen2.5 or Qwen2.5-VL.
        text_vocabulary: ids of the text tokenizer. The checkpoint's rows, often more, become the vocabulary.

    Raises:
        ValueError: there is no such model, it lacks rows, or it computes what our decoder does not.
    """
    whole = _published_config(name)
    text = whole.get_text_config()
    _require_known(name, whole, text)
    if text_vocabulary > text.vocab_size:
        rows = f"{text.vocab_size} text rows, fewer than the tokenizer's {text_vocabulary} ids"
        raise ValueError(f"{str(name)!r} has {rows}")
    return TransformerConfig(
        hidden=text.hidden_size,
        layers=text.num_hidden_layers,
        heads=text.num_attention_heads,
        kv_heads=text.num_key_value_heads,
        intermediate=text.intermediate_size,
        text_vocabulary=text.vocab_size,
        rope_theta=float(text.rope_parameters["rope_theta"]),
        norm_epsilon=text.rms_norm_eps,
        tie_embeddings=whole.tie_word_embeddings,
        codebook_size=codebook_size,
        codebook_width=codebook_width,
        end_id=end_id,
        max_positions=text.max_position_embeddings,
    )


def load_qwen(name: str | Path, config: TransformerConfig, codebook_VC: Tensor) -> NextScaleTransformer:
    """A model in float32 that has a checkpoint's text weights and knows no image yet.

    Only safetensors are read, tensor by tensor into the model's own memory. The vision tower of a VL
    checkpoint is left out. New weights are drawn from torch's global generator.

    Args:
        name: a local folder or a hub name with a Qwen2.5 or Qwen2.5-VL.
        config: what `qwen_config` says of it; the readings of the paper may be replaced.
        codebook_VC: the image tokenizer's codebook.

    Raises:
        ValueError: there are no safetensors, or names or shapes of tensors differ.
    """
    stored = _stored_text(name)
    if config.tie_embeddings:
        _drop_tied_head(stored, name)
    model = NextScaleTransformer(config, text_device="meta")
    check_tensors(stored, _text_parameters(model), str(name))
    for part in (model.model, model.lm_head):
        part.to_empty(device="cpu")
    model.tie_weights()
    copy_tensors(stored, _text_parameters(model))
    start_images(model, codebook_VC)
    return model


@torch.no_grad()
def start_images(model: NextScaleTransformer, codebook_VC: Tensor) -> None:
    """Start what images bring from the codebook, at the sizes that the model's text has.

    Pretrained text embeddings are small, and the residual stream adds up from them: inputs of unit size would
    stay louder than what the first layers write. So markers, scale embeddings and, over all codes, the
    connector's outputs get the root mean square of the text embeddings. The head's new rows are the mean text
    row and a part as long as text rows stand from their mean: codes are told apart as strongly as words are.
    """
    visual = model.visual
    size = float(_length(model.model.embed_tokens.weight)) * model.config.hidden**-0.5
    head_RE = model.lm_head.weight
    spread = (_length(head_RE).square() - head_RE.mean(0).square().sum()).clamp_min(0).sqrt()
    model.set_codebook(codebook_VC, row_length=float(spread))
    for embedding in (visual.markers, visual.scale):
        nn.init.normal_(embedding.weight, std=size)
    connected_VE = visual.connect(gelu(visual.widen(visual.codebook.weight)))
    visual.connect.weight.mul_(size * model.config.hidden**0.5 / _length(connected_VE))


def _length(rows_RE: Tensor) -> Tensor:
    """Root mean square of the lengths of rows."""
    length: Tensor = rows_RE.norm(dim=1).square().mean().sqrt()
    return length


def _published_config(name: str | Path) -> Any:
    if str(name).startswith((".", "/")) and not Path(name).is_dir():
        raise ValueError(f"no Qwen2.5 at {str(name)!r}: no such folder")
    try:
        with quiet():
            return AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # transformers passes on what the libraries beneath it raise
        raise ValueError(f"no Qwen2.5 at {str(name)!r}: {' '.join(str(error).split())}") from error


def _require_known(name: str | Path, whole: Any, text: Any) -> None:
    """Refuse a configuration that our decoder would compute otherwise."""
    if whole.model_type not in _KINDS:
        raise ValueError(f"{str(name)!r} is a {whole.model_type}, not one of {', '.join(_KINDS)}")
    rope = text.rope_parameters
    head_width = text.hidden_size // text.num_attention_heads
    expected: list[tuple[str, Any, tuple[Any, ...]]] = [
        ("hidden_act", text.hidden_act, ("silu",)),
        # Text has equal positions on all axes, so the sections of mrope make no difference.
        ("rope_type", rope.get("rope_type", rope.get("type", "default")), ("default", "mrope")),
        ("partial_rotary_factor", rope.get("partial_rotary_factor", 1.0), (1.0,)),
        ("layer_types", sorted(set(text.layer_types)), (["full_attention"],)),
        ("head_dim", getattr(text, "head_dim", None) or head_width, (head_width,)),
        ("quantization_config", getattr(whole, "quantization_config", None), (None,)),
    ]
    for fact, found, known in expected:
        if found not in known:
            raise ValueError(f"{str(name)!r}: {fact} is {found!r}, but only {known[0]!r} is supported")


def _stored_text(name: str | Path) -> dict[str, StoredTensor]:
    """The tensors of the language model, by our names."""
    folder = Path(name)
    locate = in_folder(folder) if folder.is_dir() else lambda file: Path(cached_file(name, file))
    with quiet():
        return list_tensors(weight_files(locate, str(name)), _our_name)


def _drop_tied_head(stored: dict[str, StoredTensor], name: str | Path) -> None:
    """Of a tied pair one is stored; both may be, where they are equal."""
    head, embedding = stored.pop(_HEAD, None), stored.get(_EMBEDDING)
    if head and embedding and not torch.equal(head.read(), embedding.read()):
        raise ValueError(f"{str(name)!r} ties its embeddings, but its {_HEAD} differs from {_EMBEDDING}")


def _our_name(stored: str) -> str | None:
    """transformers has named the language model of a VL in three ways over time."""
    if _VISION.match(stored):
        return None
    text = _TEXT.fullmatch(stored)
    return f"model.{text[1]}" if text else stored.removeprefix("language_model.")


def _text_parameters(model: NextScaleTransformer) -> dict[str, Tensor]:
    new = model.new_parameters()
    return {name: p for name, p in model.named_parameters() if name not in new}
