"""The packing cost model fitted on a device: seconds of a training step = s * (a * T + eta * b * P) + c.

T positions and P allowed (query, key) pairs of a pack; `a` and `b` count the architecture
(`model/transformer/cost.py`), so that eta is all a device adds: how much dearer a FLOP of attention is
than one of the matrices. Packs of one length hold documents of many lengths, texts and images, so that T
and P vary apart; the fit is least squares on relative errors, and a pack in four is kept to judge it. Write
eta into a recipe as `stages.<stage>.packing.attention_cost`. Needs torch, numpy and safetensors:

    PYTHONPATH=. python bench/fit_cost.py [--device cuda --preset 7b --layers 4]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from harness import seconds_in_turn, write_result

from model.scales import ScaleSchedule, square, table14
from model.transformer.config import TransformerConfig
from model.transformer.cost import allowed_pairs, flops_per_pair, flops_per_position
from model.transformer.layout import ImagePart, PackedBatch, Part, TextPart, pack, position_count
from model.transformer.model import NextScaleTransformer

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Workload:
    """Packs of `lengths` positions, each full of texts of one length or of images of one schedule."""

    preset: str
    lengths: tuple[int, ...]
    texts: tuple[int, ...]
    schedules: tuple[ScaleSchedule, ...]


CPU = Workload(
    preset="tiny",
    lengths=(1_024, 2_048, 3_072),
    texts=(32, 128, 512, 1_024),
    schedules=(square([1, 2, 4, 8], 16), square([1, 2, 3, 4, 6, 8, 12, 16, 20], 16)),
)
GPU = Workload(
    preset="7b",
    lengths=(8_192, 16_384, 32_768),
    texts=(256, 1_024, 4_096, 8_192),
    schedules=(table14(12)[0], table14(16)[0]),
)


@dataclass(frozen=True)
class Fit:
    """What least squares found: seconds per FLOP of the matrices, eta, and seconds of every step."""

    seconds_per_flop: float
    eta: float
    seconds_per_step: float

    def predict(self, positions: Floats, pairs: Floats, config: TransformerConfig) -> Floats:
        """Seconds of steps."""
        flops = flops_per_position(config) * positions + self.eta * flops_per_pair(config) * pairs
        seconds: Floats = self.seconds_per_flop * flops + self.seconds_per_step
        return seconds


def main() -> None:
    """Time the packs in turn, fit, judge the fit on packs it has not seen, and write the result."""
    options = parse()
    work = GPU if options.device == "cuda" else CPU
    config = shape(options.preset or work.preset, options.layers)
    model = build(config, options.device)
    packs = {name: documents for length in work.lengths for name, documents in fills(work, length).items()}
    batches = {name: pack(found, config).to(options.device) for name, found in packs.items()}
    calls = {name: partial(step, model, batch) for name, batch in batches.items()}
    for call in calls.values():
        call()  # what a step compiles is compiled
    seconds = np.array(list(seconds_in_turn(calls, options.runs, options.device).values()))
    positions, pairs = (
        np.array([sum(count(d, config.context_mode) for d in found) for found in packs.values()], np.float64)
        for count in (position_count, allowed_pairs)
    )
    held_out = np.arange(len(seconds)) % 4 == 3
    found = fit(positions[~held_out], pairs[~held_out], seconds[~held_out], config)
    predicted = found.predict(positions, pairs, config)
    blind = fit(positions[~held_out], 0 * pairs[~held_out], seconds[~held_out], config)
    without = blind.predict(positions, 0 * pairs, config)
    figures: dict[str, Any] = {
        "settings": vars(options)
        | {"preset": options.preset or work.preset, "threads": torch.get_num_threads()},
        "layers": config.layers,
        "flops_per_position": flops_per_position(config),
        "flops_per_pair": flops_per_pair(config),
        "seconds_per_flop": found.seconds_per_flop,
        "seconds_per_step": found.seconds_per_step,
        "eta": round(found.eta, 3),
        "relative_error": {
            "fitted": error(predicted, seconds, ~held_out),
            "held_out": error(predicted, seconds, held_out),
        },
        "relative_error_by_positions_alone": error(without, seconds, held_out),
        "packs": {
            name: {"positions": int(t), "pairs": int(p), "seconds": round(s, 5), "predicted": round(q, 5)}
            for name, t, p, s, q in zip(packs, positions, pairs, seconds, predicted, strict=True)
        },
    }
    if options.device == "cuda":
        figures["gpu"] = torch.cuda.get_device_name()
    print(table(figures))
    write_result("fit-cost", figures, ["torch", "numpy"], options.device)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--preset", help="tiny on a CPU, 7b on a GPU")
    parser.add_argument("--layers", type=int, help="fewer than the preset's, where memory is short")
    parser.add_argument("--runs", type=int, default=5, help="of each pack, in turn; medians count")
    return parser.parse_args()


def shape(preset: str, layers: int | None) -> TransformerConfig:
    """The preset, perhaps with fewer layers, which change `a` and `b` but hardly eta."""
    config = TransformerConfig.preset(
        preset, text_vocabulary=4_096, codebook_size=4_096, codebook_width=40, end_id=0
    )
    return replace(config, layers=layers or config.layers)


def build(config: TransformerConfig, device: str) -> NextScaleTransformer:
    """A model with random weights: fp32 on a CPU, bf16 with checkpointed layers on a GPU."""
    torch.manual_seed(0)
    with torch.device(device):
        model = NextScaleTransformer(config).train()
    if device == "cuda":
        model.bfloat16().model.set_checkpointing(True)
    return model


def fills(work: Workload, length: int) -> dict[str, list[list[Part]]]:
    """Packs of about `length` positions, each full of documents of one kind."""
    rng = np.random.default_rng(length)
    found: dict[str, list[list[Part]]] = {}
    for words in work.texts:
        count = length // words
        found[f"{count} texts of {words}"] = [[TextPart(rng.integers(0, 4_096, words))] for _ in range(count)]
    for schedule in work.schedules:
        count = length // (schedule.tokens + 1)
        images = [ImagePart(schedule, *rng.integers(0, 4_096, (2, schedule.tokens))) for _ in range(count)]
        found[f"{count} images of {schedule.tokens}"] = [[image] for image in images]
    return {f"{length}: {name}": documents for name, documents in found.items() if documents}


def step(model: NextScaleTransformer, batch: PackedBatch) -> None:
    """Forward and backward of one pack."""
    model.zero_grad()
    torch.autograd.backward(model(batch).loss_sum)


def fit(positions: Floats, pairs: Floats, seconds: Floats, config: TransformerConfig) -> Fit:
    """Least squares on relative errors: every pack counts alike, however long it takes."""
    columns = [
        flops_per_position(config) * positions,
        flops_per_pair(config) * pairs,
        np.ones_like(positions),
    ]
    matrix = np.stack(columns, axis=1) / seconds[:, None]
    (linear, quadratic, constant), *_ = np.linalg.lstsq(matrix, np.ones_like(seconds), rcond=None)
    return Fit(float(linear), float(quadratic / linear), float(constant))


def error(predicted: Floats, seconds: Floats, rows: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Mean and largest relative error over some packs."""
    off = np.abs(predicted[rows] / seconds[rows] - 1)
    return {"mean": round(float(off.mean()), 4), "max": round(float(off.max()), 4)}


def table(figures: dict[str, Any]) -> str:
    """The packs, and what the fit says of them."""
    rows = [
        f"{name:32} {p['positions']:>9,} {p['pairs']:>13,} {p['seconds']:>9.4f} {p['predicted']:>9.4f}"
        for name, p in figures["packs"].items()
    ]
    head = f"{'pack':32} {'positions':>9} {'pairs':>13} {'seconds':>9} {'predicted':>9}"
    return "\n".join([head, *rows, f"eta {figures['eta']}"])


if __name__ == "__main__":
    main()
