"""How well a tokenizer keeps pictures it has not seen, and how much of its codebook it uses.

Shapes: B batch, 3 channels, H W pixels, N tokens, V codebook rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from infra.manifest import Output
from jobs.pictures.charts import bar_chart
from jobs.pictures.sheets import reconstruction_grid
from jobs.tensors import to_images
from jobs.tokenizer.pictures import Pictures
from model.tokenizer import ImageTokenizer

SHOWN = 10
"""Held-out pictures in the grid of reconstructions."""

_USES = {"never": 0, "1 to 3 times": 3, "4 to 15": 15, "16 to 63": 63, "64 to 255": 255, "more": 2**62}
"""Bars of the histogram of codes, and the most uses each stands for."""


def psnr(original_BCHW: Tensor, decoded_BCHW: Tensor) -> float:
    """Peak signal-to-noise ratio in decibels of images in [-1, 1]; 100 at most."""
    error = (original_BCHW.double() - decoded_BCHW.double()).square().mean()
    return float(10 * torch.log10(4 / error.clamp_min(4e-10)))


def evaluate(
    tokenizer: ImageTokenizer, pictures: Pictures, held_out: Sequence[int], output: Output
) -> dict[str, float]:
    """Measure on held-out pictures, one by one, and publish what people look at.

    Returns:
        `psnr`, the mean in decibels; `codebook_use`, the share of codes that occur; `held_out`, the
        number of pictures.
    """
    decibels: list[float] = []
    counts_V = torch.zeros(tokenizer.config.codebook_size, dtype=torch.int64)
    shown: list[tuple[Tensor, Tensor]] = []
    for number in held_out:
        schedule = pictures.refs[number].schedule
        original_BCHW = pictures.batch([number]).to(next(tokenizer.parameters()).device)
        indices_BN = tokenizer.encode(original_BCHW, schedule)
        decoded_BCHW = tokenizer.decode(indices_BN, schedule)
        decibels.append(psnr(original_BCHW, decoded_BCHW))
        counts_V += torch.bincount(indices_BN.flatten().cpu(), minlength=len(counts_V))
        if len(shown) < SHOWN:
            shown.append((original_BCHW, decoded_BCHW))
    _publish(output, shown, counts_V)
    mean = sum(decibels) / len(decibels)
    used = float((counts_V > 0).double().mean())
    return {"psnr": mean, "codebook_use": used, "held_out": len(held_out)}


def code_uses(counts_V: Tensor) -> dict[str, float]:
    """How many codes were used how often, in bins that grow fourfold."""
    bars, least = {}, 0
    for name, most in _USES.items():
        bars[name] = float(((counts_V >= least) & (counts_V <= most)).sum())
        least = most + 1
    return bars


def _publish(output: Output, shown: list[tuple[Tensor, Tensor]], counts_V: Tensor) -> None:
    originals = [to_images(original)[0] for original, _ in shown]
    decoded = [to_images(reconstruction)[0] for _, reconstruction in shown]
    grid = reconstruction_grid(originals, {"reconstructed": decoded}, title="Held-out pictures")
    output.picture("reconstructions", grid)
    title = "Codes by how often they occur in held-out pictures"
    output.picture("codes", bar_chart(code_uses(counts_V), title, "codes"))
