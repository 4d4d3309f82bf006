"""Peak memory and time of the loss, forward and backward, against the plain one.

The plain version makes the logits of all positions, takes their cross-entropy and weighs it. Each call has
a process of its own, which peaks once; the two versions run in turn. Where the plain one does not fit at the
full number of tokens its peak there is extrapolated from those measured, to which it is proportional. Needs
torch alone:

    PYTHONPATH=. python bench/loss.py [--device cuda --hidden 3584 --plain-tokens 8192 16384]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
from harness import write_result
from torch import Tensor
from torch.nn.functional import cross_entropy

from model.transformer.loss import OutputHead, weighted_loss

PACKAGES = ["torch"]
HEADS = (152_064, 32_936)
"""Rows of the text head and of the visual head: 185,000."""
MIB = 2**20

Calls = dict[str, dict[int, list[dict[str, float]]]]
"""What was measured, by version and number of tokens."""


def main() -> None:
    """Measure every size in turn and write the result; or, as one of its processes, a single call."""
    options = parse()
    if options.part:
        print(json.dumps(one_call(options.part, options.tokens, options)))
        return
    sizes = sorted({*options.plain_tokens, options.tokens})
    found: Calls = {"plain": {}, "pieces": {}}
    for _ in range(options.runs):
        for size in sizes:
            for part in ["plain", "pieces"] if size in options.plain_tokens else ["pieces"]:
                call = in_own_process(part, size, options)
                found[part].setdefault(size, []).append(call)
                print(part, size, call, flush=True)
    write_result("loss", summary(found, options), PACKAGES, options.device)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--plain-tokens", type=int, nargs="+", default=[4_096, 8_192])
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--runs", type=int, default=2, help="of each, in turn; medians are reported")
    parser.add_argument("--part", choices=["plain", "pieces"], help=argparse.SUPPRESS)
    return parser.parse_args()


def summary(found: Calls, options: argparse.Namespace) -> dict[str, Any]:
    """Medians by size, ratios where both ran, and the ratio at the full number of tokens."""
    medians = {
        part: {n: {k: statistics.median(c[k] for c in calls) for k in calls[0]} for n, calls in sizes.items()}
        for part, sizes in found.items()
    }
    plain, pieces = medians["plain"], medians["pieces"]
    largest, full = max(plain), options.tokens
    settings = {"hidden": options.hidden, "vocabulary": sum(HEADS), "dtype": "bfloat16", "runs": options.runs}
    settings["threads"] = torch.get_num_threads()
    if options.device == "cuda":
        settings["gpu"] = torch.cuda.get_device_name()
    peak_at_full = plain[largest]["peak_mib"] * full / largest
    return {
        "settings": settings,
        **medians,
        "ratios": {
            n: {
                "peak_plain_over_pieces": round(plain[n]["peak_mib"] / pieces[n]["peak_mib"], 2),
                "seconds_plain_over_pieces": round(plain[n]["seconds"] / pieces[n]["seconds"], 2),
                **{f"{k}_difference": abs(plain[n][k] / pieces[n][k] - 1) for k in ("loss", "gradient_norm")},
            }
            for n in plain
        },
        "full": {
            "tokens": full,
            "plain_peak_mib": round(peak_at_full),
            "plain_is": "measured" if full == largest else f"extrapolated from {largest} tokens",
            "peak_plain_over_pieces": round(peak_at_full / pieces[full]["peak_mib"], 2),
        },
    }


def in_own_process(part: str, tokens: int, options: argparse.Namespace) -> dict[str, float]:
    """One call, measured by a process that does nothing else."""
    arguments = ["--part", part, "--tokens", tokens, "--hidden", options.hidden, "--device", options.device]
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def one_call(part: str, tokens: int, options: argparse.Namespace) -> dict[str, float]:
    """Seconds, the peak in MiB beyond what was held before, and the loss as a check."""
    loss = {"plain": plain, "pieces": in_pieces}[part]
    torch.manual_seed(0)
    heads = [OutputHead(options.hidden, rows).to(options.device, torch.bfloat16) for rows in HEADS]
    hidden_PE = torch.randn(tokens, options.hidden, device=options.device, dtype=torch.bfloat16)
    targets_P = torch.randint(sum(HEADS), (tokens,), device=options.device)
    weights_P = torch.rand(tokens, device=options.device)
    learned = [hidden_PE.requires_grad_(), *(head.weight for head in heads)]
    torch.autograd.grad(loss(hidden_PE[:64], targets_P[:64], weights_P[:64], heads), learned)  # warms up
    held = memory(options.device, peak=False)
    start = time.perf_counter()
    total = loss(hidden_PE, targets_P, weights_P, heads)
    gradients = torch.autograd.grad(total, learned)
    if options.device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = memory(options.device, peak=True) - held
    norm = float(torch.stack([g.float().norm() for g in gradients]).norm())
    loss_sum = float(total.detach())
    return {
        "seconds": round(seconds, 3),
        "peak_mib": round(peak / MIB),
        "loss": loss_sum,
        "gradient_norm": norm,
    }


def plain(hidden_PE: Tensor, targets_P: Tensor, weights_P: Tensor, heads: list[OutputHead]) -> Tensor:
    """All logits at once, in the precision of the weights."""
    weight_VE = torch.cat([head.weight for head in heads])
    losses_P = cross_entropy(hidden_PE @ weight_VE.T, targets_P, reduction="none")
    return (losses_P * weights_P).sum()


def in_pieces(hidden_PE: Tensor, targets_P: Tensor, weights_P: Tensor, heads: list[OutputHead]) -> Tensor:
    """The project's."""
    report = weighted_loss(hidden_PE, targets_P, weights_P, torch.zeros_like(targets_P), heads, scales=1)
    return report.loss_sum


def memory(device: str, peak: bool) -> int:
    """Bytes held now, or at the peak; asking for what is held forgets the peak where the device can."""
    if device == "cuda":
        if peak:
            return torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    field = "VmHWM:" if peak else "VmRSS:"
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


if __name__ == "__main__":
    main()
