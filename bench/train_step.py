"""Tokens per second of a training step: documents packed side by side against batches padded to the longest.

Both compute the same losses of the same documents, forward and backward, in turn; the optimizer's update,
the same for both, is left out. Tokens are those of documents, never padding. A padded batch holds the
documents of one pack. On a GPU packs go through FlexAttention and padded batches through SDPA with a mask,
both with checkpointed layers, and packs are filled up to one length. Needs torch, numpy and safetensors:

    PYTHONPATH=. python bench/train_step.py [--device cuda --preset 7b --layers 28 --peak-tflops 989]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from harness import seconds_in_turn, write_result
from torch import Tensor

from model.scales import ScaleSchedule, square, table14
from model.transformer.attention import dot_product_attention
from model.transformer.config import TransformerConfig
from model.transformer.cost import document_flops
from model.transformer.layout import IGNORED, PADDING, ImagePart, PackedBatch, Part, TextPart, pack
from model.transformer.loss import LossReport, weighted_loss
from model.transformer.model import NextScaleTransformer
from model.transformer.positions import rotations

PACKAGES = ["torch", "numpy"]
Document = list[Part]


@dataclass(frozen=True)
class Workload:
    """What is trained: a model's vocabularies, packs of a length, and images and texts of these sizes.

    Three documents in four are a caption with an image, the others text alone.
    """

    preset: str
    text_vocabulary: int
    codebook_size: int
    length: int
    packs: int
    schedules: tuple[ScaleSchedule, ...]
    caption: tuple[int, int]
    text: tuple[int, int]


CPU = Workload(
    preset="tiny",
    text_vocabulary=512,
    codebook_size=4_096,
    length=1_536,
    packs=3,
    schedules=(square([1, 2, 4], 16), square([1, 2, 3, 4, 6, 8], 16), square([1, 2, 3, 4, 6, 8, 10, 12], 16)),
    caption=(5, 60),
    text=(20, 400),
)
GPU = Workload(
    preset="7b",
    text_vocabulary=152_064,
    codebook_size=32_768,
    length=18_432,
    packs=2,
    schedules=tuple(schedule for scales in (12, 16) for schedule in table14(scales)),
    caption=(50, 300),
    text=(200, 4_000),
)


def main() -> None:
    """Time both ways in turn and write the result."""
    options = parse()
    work = GPU if options.device == "cuda" else CPU
    config = shape(work, options)
    model = build(config, options)
    packs = fill(documents(work), work.length)[: work.packs]
    length = work.length if options.device == "cuda" else None
    batches = [pack(found, config, length, alpha=0.9).to(options.device) for found in packs]
    steps = {
        "packed": partial(step, model, model.__call__, batches),
        "padded": partial(step, model, partial(padded_loss, model), batches),
    }
    first = {name: warm_up(run, options.device) for name, run in steps.items()}
    medians = seconds_in_turn(steps, options.runs, options.device)
    flops = 3 * sum(document_flops(document, config) for found in packs for document in found)
    figures = {
        "settings": settings(work, config, options),
        **summary(batches, medians),
        "loss_relative_difference": abs(first["packed"]["loss"] / first["padded"]["loss"] - 1),
        "model_tflops_per_second": {name: round(flops / s / 1e12, 4) for name, s in medians.items()},
    }
    if options.device == "cuda":
        peak = options.peak_tflops * 1e12
        figures["mfu"] = {name: round(flops / s / peak, 4) for name, s in medians.items()}
        figures["peak_memory_gib"] = {name: found["peak_memory_gib"] for name, found in first.items()}
    write_result("train-step", figures, PACKAGES, options.device)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--preset", help="tiny on a CPU, 7b on a GPU")
    parser.add_argument("--layers", type=int, help="fewer than the preset's, where memory is short")
    parser.add_argument("--runs", type=int, default=5, help="of each, in turn; medians are reported")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="dense bf16; 989 is an H100")
    return parser.parse_args()


def shape(work: Workload, options: argparse.Namespace) -> TransformerConfig:
    """The preset, perhaps with fewer layers."""
    config = TransformerConfig.preset(
        options.preset or work.preset,
        text_vocabulary=work.text_vocabulary,
        codebook_size=work.codebook_size,
        codebook_width=40,
        end_id=0,
    )
    return replace(config, layers=options.layers or config.layers)


def build(config: TransformerConfig, options: argparse.Namespace) -> NextScaleTransformer:
    """A model with random weights: fp32 on a CPU, bf16 with checkpointed layers on a GPU."""
    torch.manual_seed(0)
    with torch.device(options.device):
        model = NextScaleTransformer(config).train()
    if options.device == "cuda":
        model.bfloat16().model.set_checkpointing(True)
    return model


def documents(work: Workload) -> list[Document]:
    """Random documents, always the same, more than the packs hold."""
    rng = np.random.default_rng(0)
    found: list[Document] = []
    while sum(map(rough_length, found)) < 1.5 * work.length * work.packs:
        low, high = work.text if len(found) % 4 == 3 else work.caption
        parts: Document = [TextPart(rng.integers(0, work.text_vocabulary, rng.integers(low, high)))]
        if len(found) % 4 != 3:
            schedule = work.schedules[rng.integers(len(work.schedules))]
            parts.append(ImagePart(schedule, *rng.integers(0, work.codebook_size, (2, schedule.tokens))))
        found.append(parts)
    return found


def rough_length(document: Document) -> int:
    """Positions of a document."""
    return sum(len(p.ids) if isinstance(p, TextPart) else p.schedule.tokens + 1 for p in document)


def fill(found: list[Document], length: int) -> list[list[Document]]:
    """Documents in order, a new pack where one does not fit; the last, which is not full, is left out."""
    packs: list[list[Document]] = [[]]
    for document in found:
        if sum(map(rough_length, [*packs[-1], document])) > length:
            packs.append([])
        packs[-1].append(document)
    return packs[:-1]


def padded_loss(model: NextScaleTransformer, batch: PackedBatch) -> LossReport:
    """The loss of a pack whose documents go through the layers as rows of one length."""
    starts_B = torch.tensor([start for start, _ in batch.spans], device=batch.document_T.device)
    lengths = [stop - start for start, stop in batch.spans]
    rows, longest, used = len(lengths), max(lengths), sum(lengths)
    document_T = batch.document_T[:used]
    places_T = document_T * longest + torch.arange(used, device=document_T.device) - starts_B[document_T]

    def spread(values: Tensor, padding: float = 0) -> Tensor:
        flat = values.new_full((rows * longest, *values.shape[1:]), padding)
        return flat.index_copy(0, places_T, values[:used]).view(rows, longest, *values.shape[1:])

    rotation = rotations(spread(batch.positions_T3), model.config)
    attend = PaddedAttention(spread(batch.document_T, PADDING), spread(batch.step_T))
    hidden_BLE = model.model(spread(model.embed(batch)), rotation, attend)
    supervised = (batch.targets_T[:used] != IGNORED).nonzero().squeeze(1)
    return weighted_loss(
        hidden_BLE.flatten(0, 1)[places_T[supervised]],
        batch.targets_T[supervised],
        batch.weights_T[supervised],
        batch.scale_T[supervised],
        heads=(model.lm_head, model.visual_head),
        scales=model.config.max_scales,
    )


class PaddedAttention:
    """Attention of documents as rows [B, L, heads, D], by one mask that all layers share."""

    def __init__(self, document_BL: Tensor, step_BL: Tensor) -> None:
        same_BLL = document_BL[:, :, None] == document_BL[:, None]
        self.mask_B1LL = (same_BLL & (step_BL[:, None] <= step_BL[:, :, None]))[:, None]

    def __call__(self, _layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor:
        """[B, L, heads, D] -> [B, L, H, D]."""
        if queries.is_cuda:  # the memory-efficient kernel takes a mask, but no groups
            repeats = queries.shape[2] // keys.shape[2]
            keys, values = (x.repeat_interleave(repeats, dim=2) for x in (keys, values))
        return dot_product_attention(queries, keys, values, self.mask_B1LL)


def step(
    model: NextScaleTransformer, way: Callable[[PackedBatch], LossReport], batches: list[PackedBatch]
) -> float:
    """Gradients of all batches; their mean loss."""
    model.zero_grad()
    total = sum(float(batch.weights_T.sum()) for batch in batches)
    losses = []
    for batch in batches:
        loss = way(batch).loss_sum / total
        torch.autograd.backward(loss)
        losses.append(loss.detach())
    return float(torch.stack(losses).sum())


def warm_up(run: Callable[[], float], device: str) -> dict[str, float]:
    """What a step compiles is compiled. The loss, and on a GPU the peak memory, of the step after."""
    run()
    if device == "cpu":
        return {"loss": run()}
    torch.cuda.reset_peak_memory_stats()
    return {"loss": run(), "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2)}


def summary(batches: list[PackedBatch], seconds: dict[str, float]) -> dict[str, Any]:
    """Tokens per second, their ratio, and how many positions the layers saw."""
    lengths = [[stop - start for start, stop in batch.spans] for batch in batches]
    tokens = sum(map(sum, lengths))
    return {
        "documents": sum(map(len, lengths)),
        "tokens": tokens,
        "positions": {
            "packed": sum(len(batch.tokens_T) for batch in batches),
            "padded": sum(len(found) * max(found) for found in lengths),
        },
        "tokens_per_second": {name: round(tokens / value, 1) for name, value in seconds.items()},
        "packed_over_padded": round(seconds["padded"] / seconds["packed"], 2),
    }


def settings(work: Workload, config: TransformerConfig, options: argparse.Namespace) -> dict[str, Any]:
    """What was measured."""
    found = {"preset": options.preset or work.preset, "layers": config.layers, "pack_length": work.length}
    found |= {"packs": work.packs, "runs": options.runs, "vocabulary": config.vocabulary}
    found |= {"caption": work.caption, "text": work.text, "threads": torch.get_num_threads()}
    found["largest_image"] = max(schedule.tokens for schedule in work.schedules)
    if options.device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "peak_tflops": options.peak_tflops}
    return found


if __name__ == "__main__":
    main()
