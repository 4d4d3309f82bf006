"""The paper's two findings about training the tokenizer (3.1), at small scale on a folder of pictures.

1. Joint training that starts from a trained pixel branch, against joint training from nothing of as many
   steps as both trainings have.
2. Dropping half of the middle scales in training, against dropping none.

Every arm is measured on the same held-out pictures by PSNR (dB of 8-bit pictures) and by the cosine of
decoded semantic features to the teacher's. Seeds change initial weights, batches and dropout.

    python bench/tokenizer_findings.py [PICTURES] [--semantic FOLDER] [--seeds 0 1 2] [--steps 150]
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from pathlib import Path
from typing import Any

import torch
from harness import write_result
from torch import Tensor, nn

from jobs.images import decode, fit
from jobs.scenes.sample import make_sample
from jobs.tensors import to_tensor
from jobs.tokenizer.metrics import psnr, to_8_bits
from jobs.train.schedule import learning_rate
from model.scales import ScaleSchedule, table14
from model.tokenizer import ImageTokenizer, TokenizerConfig
from model.tokenizer.codebook import initialize_codebook, revive_dead_codes
from model.tokenizer.losses import LossWeights, TokenizerLoss, semantic_loss
from model.tokenizer.vision import frozen_teacher, load_vision_tower
from model.tokenizer.warm_start import start_joint

PACKAGES = ["torch", "transformers"]
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SCENES = 360
HELD_OUT_EVERY = 12
RATE = 5e-4
WARMUP = 20
REVIVE_EVERY = 20
ARMS = {"warm": ("warm", 0.0), "scratch": ("scratch", 0.0), "warm, dropout 0.5": ("warm", 0.5)}


def main() -> None:
    """Train every arm with every seed and write what came out."""
    options = parse()
    torch.set_num_threads(options.threads)
    pictures = Pictures.load(options.pictures)
    figures: dict[str, Any] = {name: [] for name in ARMS}
    for seed in options.seeds:
        for name, (start, dropout) in ARMS.items():
            config = dataclasses.replace(TokenizerConfig.preset("photo"), scale_dropout=dropout, seed=seed)
            measured = Arm(config, pictures, options).train(start)
            figures[name].append(measured)
            print(f"seed {seed}, {name}: {measured}", flush=True)
    settings = {name: value for name, value in vars(options).items() if name != "pictures"}
    settings |= {"scenes": options.pictures is None, "pictures": len(pictures.train) + len(pictures.held_out)}
    settings |= {"held_out": len(pictures.held_out), "semantic": options.semantic is not None}
    write_result("tokenizer-findings", {"settings": settings, "arms": figures} | compare(figures), PACKAGES)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "pictures",
        type=Path,
        nargs="?",
        help="a folder, searched with its sub-folders; left out: scenes of the embedded world",
    )
    parser.add_argument(
        "--semantic", help="a SigLIP2 of the preset's size, such as tokenizer/semantic's model"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=150, help="of each of the two trainings")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def compare(figures: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """For each finding the difference in PSNR, seed by seed: mean and standard deviation."""
    pairs = {"warm_minus_scratch": ("warm", "scratch"), "dropout_minus_none": ("warm, dropout 0.5", "warm")}
    return {name: _difference(figures[one], figures[other]) for name, (one, other) in pairs.items()}


def _difference(one: list[dict[str, float]], other: list[dict[str, float]]) -> dict[str, float]:
    decibels = [a["psnr"] - b["psnr"] for a, b in zip(one, other, strict=True)]
    spread = statistics.stdev(decibels) if len(decibels) > 1 else 0.0
    return {"psnr_mean": round(statistics.mean(decibels), 3), "psnr_deviation": round(spread, 3)}


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Square pictures [N, 3, 256, 256] in [-1, 1]."""

    schedule: ScaleSchedule
    train: Tensor
    held_out: Tensor

    @classmethod
    def load(cls, folder: Path | None) -> Pictures:
        """Every picture of a folder by name, or scenes; each twelfth is held out."""
        schedule = next(s for s in table14(12) if s.width == s.height)
        if folder is None:
            files = [make_sample(0, number, schedule.width).png for number in range(SCENES)]
        else:
            paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
            files = [path.read_bytes() for path in paths]
        images = [fit(decode(data), schedule.width, schedule.height) for data in files]
        pixels_N3HW = to_tensor(images)
        held_N = torch.arange(len(files)) % HELD_OUT_EVERY == 0
        return cls(schedule, pixels_N3HW[~held_N], pixels_N3HW[held_N])


class Arm:
    """One way of training, with one seed."""

    def __init__(self, config: TokenizerConfig, pictures: Pictures, options: argparse.Namespace) -> None:
        self._config, self._pictures, self._options = config, pictures, options
        self._draw = torch.Generator().manual_seed(config.seed)

    def train(self, start: str) -> dict[str, float]:
        """Train from a trained pixel branch or from nothing; what comes out."""
        steps = self._options.steps
        joint, schedule = ImageTokenizer(self._config), self._pictures.schedule
        assert joint.semantic_encoder is not None
        if self._options.semantic:
            load_vision_tower(joint.semantic_encoder, self._options.semantic)
        teacher = frozen_teacher(joint.semantic_encoder, None)
        sample = self._pictures.train[:24]
        if start == "scratch":
            initialize_codebook(joint, sample, schedule, self._draw)
            self._run(TokenizerLoss(joint, LossWeights(perceptual=0), teacher), 2 * steps)
            return self._measure(joint, teacher)
        pixel = ImageTokenizer(self._config.pixel_branch())
        initialize_codebook(pixel, sample, schedule, self._draw)
        self._run(TokenizerLoss(pixel, LossWeights(perceptual=0)), steps)
        start_joint(joint, pixel, sample, schedule, self._draw)
        before = self._decibels(pixel)
        self._run(TokenizerLoss(joint, LossWeights(perceptual=0), teacher), steps)
        return {"psnr_pixel_stage": before} | self._measure(joint, teacher)

    def _run(self, loss: TokenizerLoss, steps: int) -> None:
        tokenizer, pictures = loss.tokenizer, self._pictures
        parameters = [p for p in tokenizer.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=RATE, betas=(0.9, 0.95))
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, RATE, WARMUP, 0.1)
            chosen = torch.randint(len(pictures.train), (self._options.batch,), generator=self._draw)
            losses, _ = loss(pictures.train[chosen], pictures.schedule, self._draw)
            optimizer.zero_grad()
            losses["loss"].backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            if (step + 1) % REVIVE_EVERY == 0 and step < 0.75 * steps:
                revive_dead_codes(tokenizer, pictures.train[:24], pictures.schedule, self._draw)

    @torch.no_grad()
    def _measure(self, tokenizer: ImageTokenizer, teacher: nn.Module) -> dict[str, float]:
        schedule, cosines = self._pictures.schedule, []
        for image_3HW in self._pictures.held_out:
            indices_1N = tokenizer.encode(image_3HW[None], schedule)
            decoded_1ND = tokenizer.decode_semantics(indices_1N, schedule)
            cosines.append(1 - float(semantic_loss(decoded_1ND, teacher(image_3HW[None]))))
        figures = {"psnr": self._decibels(tokenizer), "semantic_cosine": statistics.mean(cosines)}
        return {name: round(value, 4) for name, value in figures.items()}

    @torch.no_grad()
    def _decibels(self, tokenizer: ImageTokenizer) -> float:
        tokenizer.eval()
        schedule, found = self._pictures.schedule, []
        for image_3HW in self._pictures.held_out:
            decoded_13HW = tokenizer.decode(tokenizer.encode(image_3HW[None], schedule), schedule)
            found += psnr(to_8_bits(image_3HW[None]), to_8_bits(decoded_13HW))
        tokenizer.train()
        return round(statistics.mean(found), 4)


if __name__ == "__main__":
    main()
