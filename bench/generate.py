"""How long an image takes: over the cache, compiled, by one full pass per scale, and at the floor.

Weights are random: speed does not depend on them. All versions draw from the same seeds with guidance, in
turn; medians are reported. The first compiled image waits for the compiler, but not for what an earlier run
left in torch's cache on disk. The floor is what the arithmetic of a generation takes at a device's matrix
speed, which is measured here with one large product. Needs torch, transformers and safetensors alone:

    PYTHONPATH=. python bench/generate.py [--device cuda] [--preset 7b] [--level 1024] [--batch 1]

On a GPU the full passes are left out, and the picture is decoded, too.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from typing import Any

import torch
from harness import seconds_in_turn, timed, write_result
from torch import Tensor

from model.flops import generation_flops, level_schedule
from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.transformer.config import TransformerConfig
from model.transformer.generate import generate_indices
from model.transformer.layout import ImagePart, TextPart, pack
from model.transformer.model import NextScaleTransformer
from model.transformer.sampling import SamplingOptions, draw

PACKAGES = ["torch", "transformers"]
SAMPLING = SamplingOptions(guidance=3.0, top_k=1)
TEXT_VOCABULARY, CODES, CODE_WIDTH = 152_064, 32_768, 40
PAPER_SECONDS = 5.0
"""Of a 1024x1024 image (the paper's abstract)."""


def main() -> None:
    """Measure and write the result."""
    options = parse()
    torch.manual_seed(0)
    schedule = level_schedule(options.level)
    model = make_model(options)
    prompts = [torch.randint(1, 1000, (options.prompt,)).tolist() for _ in range(options.batch)]
    seeds = list(range(options.batch))

    def cached(compiled: bool) -> Tensor:
        model.model.set_compilation(compiled)
        return generate_indices(model, prompts, schedule, SAMPLING, seeds)

    versions = {"cached": partial(cached, False), "compiled": partial(cached, True)}
    if options.device == "cpu":
        versions["full passes"] = partial(full_passes, model, prompts, schedule)
    first = timed(versions["compiled"], options.device)
    made = {name: run() for name, run in versions.items()}
    seconds = seconds_in_turn(versions, options.runs, options.device)
    figures: dict[str, Any] = {
        name: {
            "seconds": seconds[name],
            "over_cached": seconds[name] / seconds["cached"],
            "same_codes": float((made[name] == made["cached"]).float().mean()),
        }
        for name in versions
    }
    figures["compiled"]["first_seconds"] = first
    flops = options.batch * sum(
        generation_flops(model.config, schedule, prefix, codes_only=True).total
        for prefix in (options.prompt, 0)
    )
    speed = matrix_speed(options)
    figures["cached"] |= {
        "seconds_per_image": seconds["cached"] / options.batch,
        "tflops_per_second": flops / seconds["cached"] / 1e12,
        "floor_seconds": flops / speed,
        "over_floor": seconds["cached"] * speed / flops,
    }
    if options.device == "cuda":
        figures["decode_seconds"] = decode_seconds(made["cached"], schedule, options)
        if options.level == 1024:
            figures["paper_seconds"] = PAPER_SECONDS
    settings = vars(options) | {
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    if options.device == "cuda":
        settings["gpu"] = torch.cuda.get_device_name()
    figures["matrix_tflops_per_second"] = speed / 1e12
    print(figures)
    write_result("generate", {"settings": settings} | figures, PACKAGES, options.device)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--level", type=int, default=256, choices=[256, 512, 1024])
    parser.add_argument("--batch", type=int, default=1, help="images at a time")
    parser.add_argument("--prompt", type=int, default=100, help="text ids of a prompt")
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn, after one that does not count")
    return parser.parse_args()


def make_model(options: argparse.Namespace) -> NextScaleTransformer:
    """Random weights; bf16 on a GPU, fp32 on a CPU."""
    config = TransformerConfig.preset(
        options.preset,
        text_vocabulary=TEXT_VOCABULARY if options.device == "cuda" else 1024,
        codebook_size=CODES if options.device == "cuda" else 1024,
        codebook_width=CODE_WIDTH,
        end_id=0,
    )
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(options.device):
            return NextScaleTransformer(config).eval()
    finally:
        torch.set_default_dtype(before)


@torch.no_grad()
def full_passes(model: NextScaleTransformer, prompts: list[list[int]], schedule: ScaleSchedule) -> Tensor:
    """Generation without a cache: for every scale the whole document is read again, with and without the
    prompt."""
    made = []
    for seed, prompt in enumerate(prompts):
        generator = torch.Generator().manual_seed(seed)
        codes_N = torch.empty(0, dtype=torch.int64)
        for scale in range(1, len(schedule.grids) + 1):
            seen = ScaleSchedule("seen", schedule.grids[:scale], schedule.cell)
            conditional_LV, nothing_LV = (last_logits(model, text, codes_N, seen) for text in (prompt, []))
            guided_LV = nothing_LV + SAMPLING.guidance * (conditional_LV - nothing_LV)
            drawn_1L = draw(
                guided_LV[None], SAMPLING.temperature, SAMPLING.top_k, SAMPLING.top_p, [generator]
            )
            codes_N = torch.cat([codes_N, drawn_1L[0]])
        made.append(codes_N)
    return torch.stack(made)


def last_logits(
    model: NextScaleTransformer, prompt: list[int], codes_N: Tensor, seen: ScaleSchedule
) -> Tensor:
    """Logits [L, V] of the last scale of a schedule from one pass over the prompt and the codes before it."""
    codes = torch.nn.functional.pad(codes_N, (0, seen.lengths[-1])).numpy()
    batch = pack([[TextPart(prompt), ImagePart(seen, codes, codes)]], model.config)
    # The last position is `<eoi>`.
    return model.code_logits(model.hidden(batch)[-1 - seen.lengths[-1] : -1])


@torch.no_grad()
def matrix_speed(options: argparse.Namespace) -> float:
    """FLOPs per second of a large matrix product in the model's numbers."""
    size, dtype = (8192, torch.bfloat16) if options.device == "cuda" else (1024, torch.float32)
    a, b = (torch.randn(size, size, device=options.device, dtype=dtype) for _ in range(2))
    torch.mm(a, b)
    seconds = statistics.median(timed(lambda: torch.mm(a, b), options.device) for _ in range(10))
    return 2 * size**3 / seconds


@torch.no_grad()
def decode_seconds(codes_BN: Tensor, schedule: ScaleSchedule, options: argparse.Namespace) -> float:
    """Median seconds to decode the codes with the full-size tokenizer."""
    tokenizer = ImageTokenizer(TokenizerConfig.preset("nextflow")).eval().to(options.device)
    tokenizer.decode(codes_BN, schedule)
    runs = range(options.runs)
    return statistics.median(
        timed(lambda: tokenizer.decode(codes_BN, schedule), options.device) for _ in runs
    )


if __name__ == "__main__":
    main()
