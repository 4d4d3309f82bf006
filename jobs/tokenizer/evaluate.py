"""How well a tokenizer keeps pictures it has not seen, and how much of its codebook it uses.

Shapes: 1 picture, 3 channels, H W pixels, V codebook rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from infra.manifest import Output
from jobs.pictures.charts import bar_chart
from jobs.pictures.sheets import reconstruction_grid
from jobs.tensors import to_images
from jobs.tokenizer.metrics import ALL, ReconstructionMetrics, reconstruct
from jobs.tokenizer.pictures import Pictures
from model.tokenizer import ImageTokenizer

SHOWN = 10
"""Held-out pictures in the grid of reconstructions."""

_USES = {"never": 0, "1 to 3 times": 3, "4 to 15": 15, "16 to 63": 63, "64 to 255": 255, "more": 2**62}
"""Bars of the histogram of codes, and the most uses each stands for."""


def evaluate(
    tokenizer: ImageTokenizer, pictures: Pictures, held_out: Sequence[int], output: Output
) -> dict[str, Any]:
    """Measure on held-out pictures, one by one, and publish what people look at.

    Returns:
        `psnr` and `ssim`, means (see jobs.tokenizer.metrics); `codebook_use`, `dead_codes` and `perplexity`,
        of the codes that occur; `held_out`, the number of pictures.
    """
    metrics = ReconstructionMetrics(tokenizer.config.codebook_size)
    device = next(tokenizer.parameters()).device
    shown: list[tuple[Tensor, Tensor]] = []
    for number in held_out:
        original_13HW = pictures.batch([number]).to(device)
        decoded_13HW = reconstruct(tokenizer, original_13HW, pictures.refs[number].schedule, metrics)
        if len(shown) < SHOWN:
            shown.append((original_13HW, decoded_13HW))
    _publish(output, shown, metrics.code_counts())
    figures = metrics.compute()[ALL]
    names = ("psnr", "ssim", "codebook_use", "dead_codes", "perplexity")
    return {name: getattr(figures, name) for name in names} | {"held_out": len(held_out)}


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
