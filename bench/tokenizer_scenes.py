"""What the tokenizer keeps of the demo's scenes: reconstructions judged from their pixels alone.

Trains the demo's tokenizer through its own commands, then encodes and decodes scenes that no training saw and
asks the verifier whether every claim about each still holds: kinds, colours, sizes, counts, positions.

    python bench/tokenizer_scenes.py [--home HOME] [--set tokenizer.pixel.steps=4000 ...]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness import write_result
from PIL import Image

from jobs.models import load_tokenizer
from jobs.scenes.sample import make_sample
from jobs.scenes.truth import Truth
from jobs.scenes.verify import verify
from jobs.tensors import to_images, to_tensor
from jobs.tokenizer.metrics import psnr, to_8_bits
from model.scales import square
from model.tokenizer import ImageTokenizer

PACKAGES = ["torch", "transformers"]
STAGES = ("pixel", "joint", "decoder")
SCENES = 1000
FIRST = 1_000_000
"""Number of the first scene that is measured; the demo trains on the first 3,000."""
SIDES, CELL, SIZE = (1, 2, 3, 4, 6, 8), 8, 64


def main() -> None:
    """Train, measure each stage, write the result."""
    options = parse()
    with nullcontext(options.home) if options.home else TemporaryDirectory() as home:
        start = time.monotonic()
        folders = train(home, options.set)
        seconds = time.monotonic() - start
        samples = [make_sample(0, FIRST + number, SIZE) for number in range(SCENES)]
        figures: dict[str, Any] = {"originals": judge([picture(s.png) for s in samples], samples)}
        for stage in STAGES:
            figures[stage] = measure(load_tokenizer(folders[f"tokenizer/{stage}"]), samples)
            print(stage, figures[stage], flush=True)
    settings = {"set": options.set, "scenes": SCENES, "seconds_of_training": round(seconds, 1)}
    write_result("tokenizer-scenes", {"settings": settings, "stages": figures}, PACKAGES)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", help="where the demo's tokenizer is, or is to be made; it stays")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the demo's recipe to change")
    return parser.parse_args()


def train(home: str, overrides: list[str]) -> dict[str, str]:
    """Folders of the demo's tokenizer in a home, by asset; made where they are missing."""
    changes = [part for one in overrides for part in ("--set", one)]
    nextscale("run", "--recipe", "demo", "--home", home, "--select", "tokenizer/decoder", *changes)
    rows = json.loads(nextscale("status", "--home", home, "--json"))["assets"]
    return {row["asset"]: row["folder"] for row in rows}


def nextscale(*arguments: str) -> str:
    """Run the command of the environment this script runs in; its standard output."""
    command = str(Path(sys.executable).parent / "nextscale")
    done = subprocess.run([command, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def measure(tokenizer: ImageTokenizer, samples: list[Any]) -> dict[str, float]:
    """PSNR and the verifier's judgement of every scene's reconstruction."""
    schedule = square(SIDES, CELL)
    decoded, decibels = [], []
    for sample in samples:
        image_13HW = to_tensor([picture(sample.png)])
        drawn_13HW = tokenizer.decode(tokenizer.encode(image_13HW, schedule), schedule)
        decibels += psnr(to_8_bits(image_13HW), to_8_bits(drawn_13HW))
        decoded += to_images(drawn_13HW)
    return {"psnr": round(statistics.mean(decibels), 3)} | judge(decoded, samples)


def judge(pictures: list[Image.Image], samples: list[Any]) -> dict[str, float]:
    """Share of the claims that hold, and of the pictures of which every claim does."""
    verdicts = [
        verify(image, Truth.model_validate_json(s.truth)) for image, s in zip(pictures, samples, strict=True)
    ]
    claims = [clause.passed for verdict in verdicts for clause in verdict.clauses]
    passed = [verdict.passed for verdict in verdicts]
    return {
        "claims_right": round(statistics.mean(claims), 4),
        "pictures_right": round(statistics.mean(passed), 4),
    }


def picture(png: bytes) -> Image.Image:
    """A scene as RGB."""
    return Image.open(io.BytesIO(png)).convert("RGB")


if __name__ == "__main__":
    main()
