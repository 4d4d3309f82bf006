"""How fast a tokenizer encodes, quantises and decodes, against TokenFlow's published quantisation.

The baseline does what TokenFlow's quantiser does at each scale: two tables of squared distances, one for
each half of the codes, their sum, its argmin; written anew. Both work on the same features and codebook, in
turn, and must find the same indices. Needs torch, transformers and safetensors alone:

    PYTHONPATH=. python bench/tokenizer.py [--device cuda] [--preset nextflow] [--batch 4] [--sizes 256 512]
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from typing import Any

import torch
from harness import seconds_in_turn, write_result
from torch import Tensor
from torch.nn import functional

from model.scales import ScaleSchedule, table14
from model.tokenizer import Correction, ImageTokenizer, TokenizerConfig
from model.tokenizer.correction import draw_ranks
from model.tokenizer.quantizer import full_float32

PACKAGES = ["torch", "transformers"]
SCALES = {256: 12, 512: 16, 1024: 18}
SEMANTIC = 32
"""Width of the semantic half of a code."""


def main() -> None:
    """Measure every size and write the result."""
    options = parse()
    torch.manual_seed(0)
    tokenizer = ImageTokenizer(TokenizerConfig.preset(options.preset)).eval().to(options.device)
    figures = {}
    for size in options.sizes:
        schedule = next(s for s in table14(SCALES[size]) if s.width == s.height)
        figures[f"{size}x{size}"] = measure(tokenizer, schedule, options)
        print(size, figures[f"{size}x{size}"], flush=True)
    settings = {"preset": options.preset, "batch": options.batch, "runs": options.runs}
    settings["threads"] = torch.get_num_threads()
    if options.device == "cuda":
        settings["gpu"] = torch.cuda.get_device_name()
    write_result("tokenizer", {"settings": settings, "sizes": figures}, PACKAGES, options.device)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--preset", default="nextflow")
    parser.add_argument("--batch", type=int, default=2, help="images at a time")
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn; medians are reported")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], choices=sorted(SCALES))
    return parser.parse_args()


@torch.no_grad()
def measure(
    tokenizer: ImageTokenizer, schedule: ScaleSchedule, options: argparse.Namespace
) -> dict[str, Any]:
    """Images per second of each part, the quantisers' ratio, and what memory each needs."""
    shape = (options.batch, 3, schedule.height, schedule.width)
    images_BCHW = torch.rand(shape, device=options.device) * 2 - 1
    features_BChw = tokenizer.features(images_BCHW)
    indices_BN = tokenizer.encode(images_BCHW, schedule)
    generators = [torch.Generator().manual_seed(n) for n in range(options.batch)]
    ranks_BN = draw_ranks(schedule, Correction(), generators).to(options.device)
    codebook_VC = tokenizer.codebook()
    found_BN = published_quantise(features_BChw, schedule, codebook_VC)
    parts = {
        "quantise": lambda: tokenizer.quantizer(features_BChw, schedule.grids),
        "quantise_published": lambda: published_quantise(features_BChw, schedule, codebook_VC),
        "quantise_corrected": lambda: tokenizer.quantizer(features_BChw, schedule.grids, ranks_BN),
        "encode": lambda: tokenizer.encode(images_BCHW, schedule),
        "decode": lambda: tokenizer.decode(indices_BN, schedule),
    }
    seconds, memory = time_parts(parts, options)
    rates = {name: options.batch / value for name, value in seconds.items()}
    return {
        "tokens": schedule.tokens,
        "images_per_second": {name: round(rate, 4) for name, rate in rates.items()},
        "quantise_over_published": round(rates["quantise"] / rates["quantise_published"], 2),
        "same_indices": float((found_BN == indices_BN).double().mean()),
        "peak_memory_mib": memory,
    }


def published_quantise(features_BChw: Tensor, schedule: ScaleSchedule, codebook_VC: Tensor) -> Tensor:
    """Indices [B, N] as TokenFlow's quantiser finds them."""
    with full_float32(features_BChw.device):
        residual_BChw, found = features_BChw, []
        semantic_VS, pixel_VP = codebook_VC[:, :SEMANTIC], codebook_VC[:, SEMANTIC:]
        for grid in schedule.grids:
            small_BChw = functional.interpolate(residual_BChw, size=grid, mode="area")
            flat_MC = small_BChw.permute(0, 2, 3, 1).flatten(0, 2)
            semantic_MS = functional.normalize(flat_MC[:, :SEMANTIC], dim=1)
            pixel_MP = functional.normalize(flat_MC[:, SEMANTIC:], dim=1)
            distances_MV = squared(semantic_MS, semantic_VS) + 1.0 * squared(pixel_MP, pixel_VP)
            indices_M = distances_MV.argmin(dim=1)
            codes_BChw = codebook_VC[indices_M].reshape(len(features_BChw), *grid, -1).permute(0, 3, 1, 2)
            size = schedule.grids[-1]
            residual_BChw = residual_BChw - functional.interpolate(codes_BChw, size=size, mode="bicubic")
            found.append(indices_M.reshape(len(features_BChw), -1))
        return torch.cat(found, dim=1)


def squared(vectors_MC: Tensor, rows_VC: Tensor) -> Tensor:
    """All squared distances [M, V]."""
    products_MV: Tensor = torch.einsum("mc,vc->mv", vectors_MC, rows_VC)
    return vectors_MC.square().sum(dim=1, keepdim=True) + rows_VC.square().sum(dim=1) - 2 * products_MV


def time_parts(
    parts: dict[str, Callable[[], Any]], options: argparse.Namespace
) -> tuple[dict[str, float], dict[str, int]]:
    """Median seconds of each part over runs in turn, after one that warms up; and its peak memory in MiB."""
    memory = {name: peak_memory(part, options.device) for name, part in parts.items()}
    return seconds_in_turn(parts, options.runs, options.device), memory


def peak_memory(part: Callable[[], Any], device: str) -> int:
    """MiB that a call needs beyond what is held; on a CPU what the process's peak rises to above now."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        part()
        return int((torch.cuda.max_memory_allocated() - held) // 2**20)
    reset_peak()
    held = resident("VmRSS")
    part()
    return max(0, resident("VmHWM") - held)


def reset_peak() -> None:
    """Forget the process's peak, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return


def resident(field: str) -> int:
    """A field of the process's status, in MiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
