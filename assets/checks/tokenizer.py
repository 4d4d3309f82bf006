"""Checks of the tokenizer: pictures survive it, it uses its codebook, its stages build on each other."""

from __future__ import annotations

import math
from typing import Any

from assets.checks import Check, Published, Verdict, no_problems

TOLERANCE_DECIBELS = 0.5
"""By which the last training may be below the one before on some level: it sees other pictures."""


def _psnr(output: Published) -> Verdict:
    return _at_least(output, "psnr", output.settings.tokenizer.min_psnr)


def _codebook_use(output: Published) -> Verdict:
    return _at_least(output, "codebook_use", output.settings.tokenizer.min_codebook_use)


def _at_least(output: Published, name: str, floor: float) -> Verdict:
    value = float(output.manifest.metadata[name])
    # A figure that is not a number compares as too small, which it is.
    passed = math.isfinite(value) and value >= floor
    return Verdict(
        passed, f"{name} is {value:.4g}, the floor is {floor:g}", {"floor": floor, name: str(value)}
    )


def _learnt(output: Published) -> Verdict:
    figures = output.manifest.metadata
    first, last = float(figures["first"]["loss"]), float(figures["last"]["loss"])
    found, chance = float(figures["retrieval"]), float(figures["retrieval_chance"])
    why = f"loss from {first:.3f} to {last:.3f}; {found:.1%} of held-out pictures find their caption, "
    why += f"chance is {chance:.1%}"
    # Few pictures teach an encoder little that holds for others, so retrieval is told, not asked for.
    return Verdict(last <= first, why, {"retrieval": found, "chance": chance})


def _every_picture(output: Published) -> Verdict:
    (drop,) = output.input_manifests("t2i/captioned")
    paths = output.manifest.paths(".parquet")
    keys = [(r["sample_id"], r["member"]) for p in paths for r in output.table(p).to_pylist()]
    counts, problems = output.manifest.counts, []
    if not len(keys) == counts.total == drop.counts.kept:
        problems.append(
            f"{drop.counts.kept} pictures were curated, {counts.total} counted, {len(keys)} listed"
        )
    if len(set(keys)) != len(keys):
        problems.append(f"{len(keys) - len(set(keys))} pictures are listed twice")
    return no_problems(problems, counts.describe(), pictures=len(keys))


def _no_regression(output: Published) -> Verdict:
    joint, decoder = (output.manifest.metadata[stage] for stage in ("joint", "decoder"))
    problems = [problem for level in joint for problem in _worse(level, joint[level], decoder[level])]
    figures = {f"psnr {level}": str(decoder[level]["psnr"]) for level in decoder}
    return no_problems(problems, ", ".join(f"{k} {v}" for k, v in figures.items()), **figures)


def _worse(level: str, joint: dict[str, Any], decoder: dict[str, Any]) -> list[str]:
    """What is wrong with the last training at a level: other indices than before, or worse pictures."""
    problems = []
    if (joint["codebook_use"], joint["perplexity"]) != (decoder["codebook_use"], decoder["perplexity"]):
        problems.append(f"{level}: the decoder training changed which codes occur")
    if not decoder["psnr"] >= joint["psnr"] - TOLERANCE_DECIBELS:
        problems.append(
            f"{level}: {decoder['psnr']:.2f} dB after {joint['psnr']:.2f} dB of the joint training"
        )
    return problems


PSNR = Check("psnr_floor", "Held-out pictures survive encoding and decoding.", _psnr)
CODEBOOK_USE = Check("codebook_use", "Enough of the codebook is in use on held-out pictures.", _codebook_use)
LEARNT = Check("learnt", "Pictures and their captions did not drift apart in training.", _learnt)
EVERY_PICTURE = Check("every_picture", "Every curated picture was looked at once.", _every_picture)
NO_REGRESSION = Check(
    "no_regression", "The larger decoder draws the same indices, and no worse.", _no_regression
)
