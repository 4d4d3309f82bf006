"""How long the demo takes from an empty home, stage by stage, and how long the same command takes again.

Whole commands timed from outside, in one run. `python bench/demo.py [HOME]`; a home that is named stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness import write_result

PACKAGES = ["dagster", "deepspeed", "ray", "torch", "transformers"]
HELD = ("asset", "state", "files", "bytes")
"""What is told of each asset that the home holds in the end."""
EVALUATION = "evaluation/pretrain_256/fixed_prompts"


def main() -> None:
    """Run the demo's recipe twice on one empty home and write what it took and made."""
    with nullcontext(sys.argv[1]) if len(sys.argv) > 1 else TemporaryDirectory() as home:
        first, made = timed_run(home)
        again, found = timed_run(home)
        held = [{key: a[key] for key in HELD} for a in json.loads(status(home))["assets"]]
    stages = [
        {"asset": a["asset"], "counts": a["counts"], "seconds": round(a["seconds"], 1)}
        for a in made["assets"]
    ]
    figures = {
        "seconds_first": round(first, 1),
        "seconds_again": round(again, 1),
        "again_over_first": round(again / first, 3),
        "reused_again": all(a["reused"] for a in found["assets"]),
        "conserved": made["conserved"],
        "stages": stages,
        "evaluation": made["figures"][EVALUATION],
        "held": held,
    }
    print_table(figures)
    write_result("demo", figures, PACKAGES)


def timed_run(home: str) -> tuple[float, dict[str, Any]]:
    """Seconds of one whole command, and what it printed."""
    start = time.monotonic()
    out = nextscale("run", "--recipe", "demo", "--home", home, "--json")
    return time.monotonic() - start, json.loads(out)


def status(home: str) -> str:
    """What the home holds."""
    return nextscale("status", "--home", home, "--json")


def nextscale(*arguments: str) -> str:
    """Run the command of the environment this script runs in; its standard output."""
    command = Path(sys.executable).parent / "nextscale"
    done = subprocess.run([command, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def print_table(figures: dict[str, Any]) -> None:
    """The stages and the totals for people."""
    for stage in figures["stages"]:
        counts = stage["counts"]
        records = f"{counts['total']:>7} in {counts['kept']:>7} kept"
        print(f"{stage['asset']:<40} {records} {stage['seconds']:>7} s")
    print(f"first {figures['seconds_first']} s, again {figures['seconds_again']} s")


if __name__ == "__main__":
    main()
