"""Checks of the image tokenizer: pictures survive it, and it uses its codebook."""

from __future__ import annotations

import math

from assets.checks import Check, Published, Verdict


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


PSNR = Check("psnr_floor", "Held-out pictures survive encoding and decoding.", _psnr)
CODEBOOK_USE = Check("codebook_use", "Enough of the codebook is in use on held-out pictures.", _codebook_use)
