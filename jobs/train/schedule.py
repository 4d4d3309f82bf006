"""How the learning rate moves over a run."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, peak: float, warmup: int, final_share: float) -> float:
    """Linear warm-up to `peak`, then a cosine down to `final_share * peak` at the last step.

    Args:
        step: from 0 to `steps` - 1.
        warmup: steps of the warm-up; a run shorter than that never leaves it.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    way = (step - warmup) / max(1, steps - 1 - warmup)
    return peak * (final_share + (1 - final_share) * (1 + math.cos(math.pi * way)) / 2)
