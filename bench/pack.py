"""What packing is worth, and how fast and in how much memory it is planned.

The packers see the same documents: the mix of the paper's 512-level pretraining (its table 2), described in
`pack_mix.py`. A training of 1,024 ranks is simulated in which every step waits for its most expensive pack,
and the results stand beside the throughput that the paper's table 3 measured:

    python bench/pack.py [--captions FOLDER_OR_FILE] [--documents 4000000] [--ranks 1024] [--attention-cost 2]

Then the planning itself runs as jobs do, over Ray, on token files without payload: rows per second from
reading them to the finished catalogue, and the memory of all processes together. With `--rows` that part runs
alone, on so many rows, and writes a result file of its own:

    python bench/pack.py --rows 100000000 [--folder SCRATCH]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import seconds_in_turn, write_result
from memory import run_watched
from pack_mix import ETA, VOLUMES, Mix, cost_of, read_captions, write_token_files

from infra.job import Resources
from infra.manifest import Output
from infra.reporter import SilentReporter
from jobs.pack.columns import Columns
from jobs.pack.compare import PackerFigures, compare, step_figures
from jobs.pack.figures import sample_packs
from jobs.pack.inputs import count_documents, find_files
from jobs.pack.packers import PACKERS, Limits
from jobs.pack.plan import WINDOW_DOCUMENTS, Plan, Request, make_plan
from jobs.pack.records import Cost
from jobs.recipe import Packing

PACKAGES = ["numpy", "pyarrow", "ray"]
PAPER = {"batch_padding": 620.3, "fixed_length": 2109.5, "fixed_budget": 2517.4}
"""Tokens per second and GPU in the paper's table 3."""
COLUMNS = ("tokens/s", "in paper", "mean/max", "p99", "worst", "fill", "packs", "mix std")
FILL = 0.95


def main() -> None:
    """Compare and plan, or plan many rows, and write the result."""
    options = parse()
    if options.part:
        plan_part(options)
        return
    figures: dict[str, Any] = {"load_before": os.getloadavg(), "settings": settings(options)}
    mix = Mix(read_captions(options.captions) if options.captions else None)
    if not options.rows:
        figures["packers"] = compare_all(mix, options)
    rows = options.rows or 2_000_000
    figures["planning"] = planned(mix, rows, options)
    figures["load_after"] = os.getloadavg()
    write_result("pack-rows" if options.rows else "pack", figures, PACKAGES)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--captions", type=Path, help="texts, a file or a folder of *.txt; else their lengths are drawn"
    )
    parser.add_argument("--documents", type=int, default=4_000_000, help="that packers are compared on")
    parser.add_argument("--ranks", type=int, default=1024)
    parser.add_argument("--max-tokens", type=int, default=32_768)
    parser.add_argument("--attention-cost", type=float, default=ETA)
    parser.add_argument("--rows", type=int, help="plan so many rows and nothing else")
    parser.add_argument("--folder", type=Path, help="for files between; else a temporary one")
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cost", type=float, nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, and how the mix is made."""
    return {
        "ranks": options.ranks,
        "max_tokens": options.max_tokens,
        "fill": FILL,
        "attention_cost": options.attention_cost,
        "volumes_in_millions": {family: count / 1e6 for family, count in VOLUMES.items()},
        "captions": "real" if options.captions else "lognormal, median 120 tokens, sigma 0.5",
    }


def compare_all(mix: Mix, options: argparse.Namespace) -> dict[str, Any]:
    """Every packer on the same documents, in ratios to the paper's strategy."""
    cost = cost_of(options.attention_cost)
    documents = cost.columns(mix.documents(0, options.documents))
    mean = float(documents.cost.sum() / documents.tokens.sum())
    limits = Limits(options.max_tokens, FILL * options.max_tokens * mean)
    fitting = documents.take(documents.cost <= limits.cost)
    found = {f.packer: f for f in compare(fitting, limits, options.ranks, seed=0)}
    speed = {
        name: f.steps.tokens_per_flop / found["fixed_budget"].steps.tokens_per_flop
        for name, f in found.items()
    }
    print_table(found, speed)
    return {
        "documents": len(fitting),
        "rejected_over_budget": len(documents) - len(fitting),
        "tokens_per_document": float(documents.tokens.mean()),
        "family_token_shares": mix.shares(documents),
        "by_packer": {name: one_packer(f, speed[name]) for name, f in found.items()},
        "balanced_over_batch_padding": speed["balanced"] / speed["batch_padding"],
        "balanced_over_padding_to_cap": speed["balanced"] / speed["padding_to_cap"],
        "rows_per_second_and_core": packing_speed(fitting.take(np.arange(WINDOW_DOCUMENTS)), limits),
    }


def packing_speed(window: Columns, limits: Limits) -> dict[str, int]:
    """Documents of one window that each packer packs in a second, on one thread: the packers alone."""
    calls = {name: partial(pack, window, limits) for name, pack in PACKERS.items()}
    medians = seconds_in_turn(calls, rounds=3, device="cpu")
    return {name: round(len(window) / seconds) for name, seconds in medians.items()}


def print_table(found: Mapping[str, PackerFigures], speed: Mapping[str, float]) -> None:
    """A line for each packer; throughputs relative to the paper's strategy."""
    print(f"{'packer':15}" + "".join(f"{name:>10}" for name in COLUMNS))
    for name, f in found.items():
        paper = PAPER.get(name, float("nan")) / PAPER["fixed_budget"]
        even = [f.steps.mean, f.steps.p99, f.steps.worst]
        values = [speed[name], paper, *even, f.token_fill_mean, f.packs / f.lower_bound, f.steps.family_std]
        print(f"{name:15}" + "".join(f"{value:10.4f}" for value in values))


def one_packer(figures: PackerFigures, speed: float) -> dict[str, Any]:
    """Figures of a packer, with its throughput against the paper's strategy, here and in the paper."""
    paper = PAPER[figures.packer] / PAPER["fixed_budget"] if figures.packer in PAPER else None
    return asdict(figures) | {
        "throughput": speed,
        "throughput_in_paper": paper,
        "packs_over_bound": figures.packs / figures.lower_bound,
    }


def planned(mix: Mix, rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Plan token files in a process of its own, whose memory and children's is watched."""
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_token_files(mix, rows, folder / "tokens")
        command = [sys.executable, __file__, "--part", str(folder), "--ranks", str(options.ranks)]
        command += ["--max-tokens", str(options.max_tokens), "--attention-cost", str(options.attention_cost)]
        # Numbers, so that the process holds what planning needs: it needs no torch.
        cost = cost_of(options.attention_cost)
        command += ["--cost", str(cost.per_position), str(cost.per_pair)]
        found: dict[str, Any] = run_watched(command)
        held = sum(path.stat().st_size for path in (folder / "out/work").iterdir())
        catalogue = sum(path.stat().st_size for path in (folder / "out/data").iterdir())
    return found | {"work_bytes_per_row": held / rows, "catalogue_bytes_per_row": catalogue / rows}


def plan_part(options: argparse.Namespace) -> None:
    """The watched process: plan, and print what was found."""
    from infra.local_ray import ensure_ray

    ensure_ray()
    folder, cost = options.part, Cost(*options.cost)
    tokens = [str(path) for path in sorted((folder / "tokens").iterdir())]
    start = time.perf_counter()
    plan = plan_files(tokens, folder / "out", cost, options)
    seconds = time.perf_counter() - start
    print(json.dumps(planning_figures(plan, seconds, options.ranks)))


def plan_files(tokens: list[str], output: Path, cost: Cost, options: argparse.Namespace) -> Plan:
    """Plan the documents of finished token folders with all of each family."""
    documents = count_documents(tokens)
    request = Request(
        files=find_files(tokens),
        documents=documents,
        packing=Packing(max_tokens=options.max_tokens, fill=FILL, attention_cost=options.attention_cost),
        mixture=Mix.natural_mixture(tokens),
        cost=cost,
        seed=0,
    )
    return make_plan(request, Output(str(output)), SilentReporter(), Resources())


def planning_figures(plan: Plan, seconds: float, ranks: int) -> dict[str, Any]:
    """Rows, seconds, and how even the packs are."""
    rows = sum(receipt.counts.total for receipt in plan.listed)
    kept = sum(receipt.counts.kept for receipt in plan.listed)
    packs = sample_packs(plan.context)
    steps = step_figures(packs["cost"], packs["tokens"].astype(np.int64), ranks)
    return {
        "rows": rows,
        "kept": kept,
        "packs": int(plan.first_packs[-1]),
        "windows": plan.context.windows,
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "steps": asdict(steps),
    }


if __name__ == "__main__":
    main()
