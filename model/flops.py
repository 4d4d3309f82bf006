"""What an image costs in floating-point operations: the paper's analysis (A.2) and the real architecture.

The paper counts a textbook layer of width h: 12 h^2 for each query and 4 h for each (query, key) pair
(eqs. 6 to 8), summed over the forward passes that make an image (eqs. 9 and 10). Its text and its numbers
differ in what these passes are; `readings` counts each of them. `generation_flops` and `training_flops`
count the model of this repository, as the packing cost model does.

Below, a pass is (s_q, s_kv): the queries of one forward pass, and the keys that each of them sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.scales import TABLE_14_STEPS, ScaleSchedule, square
from model.transformer.config import TransformerConfig
from model.transformer.cost import document_flops, flops_per_pair
from model.transformer.layout import ImagePart, Part, TextPart

Pass = tuple[int, int]

LEVELS = {256: 12, 512: 16, 1024: 18}
"""Scales of a square image of each of the paper's resolution levels (A.1)."""

PRINTED_PREFIX = 100
"""Tokens of the prompt without which the numbers of eq. 10 do not come out; A.2 does not mention them."""


@dataclass(frozen=True)
class LayerCost:
    """FLOPs of one textbook layer of any width h: `square` * h^2 + `linear` * h."""

    square: int
    linear: int

    @property
    def tokens(self) -> int:
        """Queries of all passes together."""
        return self.square // layer_square(1)

    @property
    def pairs(self) -> int:
        """(query, key) pairs of all passes together."""
        return self.linear // 4

    def flops(self, hidden: int) -> int:
        """FLOPs at the width `hidden`."""
        return self.square * hidden**2 + self.linear * hidden


PRINTED_MMDIT = LayerCost(884_736, 1_207_959_552)
"""Right-hand side of eq. 9, per layer."""
PRINTED_NEXTFLOW = LayerCost(122_208, 256_215_912)
"""Right-hand side of eq. 10, per layer."""


@dataclass(frozen=True)
class Reading:
    """One way to read what eq. 10 sums over."""

    name: str
    cost: LayerCost


def attention_flops(queries: int, keys: int, hidden: int) -> int:
    """Eq. 6: four projections of h x h for each query; scores and weighted values for each pair."""
    return 8 * queries * hidden**2 + 4 * queries * keys * hidden


def feed_forward_flops(queries: int, hidden: int) -> int:
    """Eq. 7: two matrices of h x h. A standard layer is four times as wide inside: 16 s_q h^2."""
    return 4 * queries * hidden**2


def layer_flops(queries: int, keys: int, hidden: int) -> int:
    """Eq. 8: the sum of eqs. 6 and 7."""
    return attention_flops(queries, keys, hidden) + feed_forward_flops(queries, hidden)


def layer_square(queries: int) -> int:
    """The coefficient of h^2 in eq. 8."""
    return layer_flops(queries, 0, 1)


def layer_cost(passes: Sequence[Pass]) -> LayerCost:
    """Eqs. 9 and 10: eq. 8 summed over passes, for any h."""
    return LayerCost(
        sum(layer_square(queries) for queries, _ in passes),
        sum(4 * queries * keys for queries, keys in passes),
    )


def diffusion_passes(tokens: int, steps: int) -> list[Pass]:
    """Passes of eq. 9: every denoising step computes every token, and each sees all."""
    return [(tokens, tokens)] * steps


def cached_passes(lengths: Sequence[int], own: bool = True) -> list[Pass]:
    """Passes of eq. 10, with a cache of keys and values: each computes the new tokens alone.

    Args:
        lengths: new tokens of each pass.
        own: whether s_kv holds the tokens of the pass itself, as attention does, or only those before.

    Raises:
        ValueError: a length is negative.
    """
    if any(length < 0 for length in lengths):
        raise ValueError(f"a pass computes 0 or more tokens, got {min(lengths)}")
    passes, seen = [], 0
    for length in lengths:
        passes.append((length, seen + length if own else seen))
        seen += length
    return passes


def uniform_sides(last: int, steps: int) -> tuple[int, ...]:
    """Grid sides of Figure 24's uniform steps: linear from 1 to the last, rounded."""
    return tuple(round(1 + (last - 1) * step / (steps - 1)) for step in range(steps))


def flops_ratio(mmdit: LayerCost, nextflow: LayerCost, hidden: int) -> float:
    """Eq. 11: how many times the FLOPs of NextFlow MMDiT takes, layers being equally many."""
    return mmdit.flops(hidden) / nextflow.flops(hidden)


def level_schedule(level: int) -> ScaleSchedule:
    """Table 14's square grids at a resolution level.

    Raises:
        ValueError: there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"no level {level}; there are {', '.join(map(str, LEVELS))}")
    return square(TABLE_14_STEPS[: LEVELS[level]], cell=16)


def mmdit_passes(schedule: ScaleSchedule) -> list[Pass]:
    """Passes of eq. 9 for an image of the schedule's last grid, in as many steps as it has scales."""
    return diffusion_passes(schedule.lengths[-1], len(schedule.lengths))


def mmdit_cost(schedule: ScaleSchedule) -> LayerCost:
    """Eq. 9, per layer."""
    return layer_cost(mmdit_passes(schedule))


def readings(schedule: ScaleSchedule, prefix: int = PRINTED_PREFIX) -> tuple[Reading, ...]:
    """Eq. 10 in the ways that its text, its numbers and Figure 24 suggest.

    Args:
        prefix: tokens of a prompt, computed in one pass before the first scale.
    """
    lengths = schedule.lengths
    uniform = [side**2 for side in uniform_sides(schedule.grids[-1][0], len(lengths))]
    return (
        Reading(f"prompt of {prefix:,} first, own step seen", layer_cost(cached_passes([prefix, *lengths]))),
        Reading("Table 14 alone, own step seen", layer_cost(cached_passes(lengths))),
        Reading("Table 14 alone, steps before seen", layer_cost(cached_passes(lengths, own=False))),
        Reading(f"prompt of {prefix:,}, uniform steps", layer_cost(cached_passes([prefix, *uniform]))),
    )


@dataclass(frozen=True)
class PositionFlops:
    """Forward FLOPs of one position in all layers, and in the output head over the whole vocabulary."""

    projections: int
    feed_forward: int
    head: int

    @property
    def layers(self) -> int:
        """Without the head."""
        return self.projections + self.feed_forward


def position_flops(config: TransformerConfig) -> PositionFlops:
    """Grouped-query attention, SwiGLU and one head for text and codes: `cost.flops_per_position` in parts."""
    c = config
    projections = 2 * c.hidden * (c.heads + c.kv_heads) * c.head_width
    feed_forward = 3 * c.hidden * c.intermediate
    return PositionFlops(2 * c.layers * projections, 2 * c.layers * feed_forward, 2 * c.hidden * c.vocabulary)


@dataclass(frozen=True)
class ModelFlops:
    """Forward FLOPs by where they go: the layers' matrices, attention's pairs, the output head."""

    matrices: float
    attention: float
    head: float = 0.0

    @property
    def layers(self) -> float:
        """Without the head."""
        return self.matrices + self.attention

    @property
    def total(self) -> float:
        """All together."""
        return self.layers + self.head


def model_flops(config: TransformerConfig, passes: Sequence[Pass], logits: int = 0) -> ModelFlops:
    """Forward FLOPs of passes through the real layers, and of this many logits."""
    queries = sum(queries for queries, _ in passes)
    pairs = sum(queries * keys for queries, keys in passes)
    matrices = float(position_flops(config).layers * queries)
    return ModelFlops(matrices, flops_per_pair(config) * pairs, 2.0 * config.hidden * logits)


def textbook_flops(config: TransformerConfig, passes: Sequence[Pass]) -> ModelFlops:
    """The same passes through as many textbook layers (eq. 8) of the same width, without a head."""
    cost, hidden = layer_cost(passes), config.hidden
    return ModelFlops(
        float(config.layers * cost.square * hidden**2), float(config.layers * cost.linear * hidden)
    )


def generation_passes(schedule: ScaleSchedule, prefix: int) -> list[Pass]:
    """Passes of an image with a cache: the prompt is causal, as if token by token; then a pass per scale."""
    if prefix < 0:
        raise ValueError(f"a prompt has 0 or more tokens, got {prefix}")
    return cached_passes([*[1] * prefix, *schedule.lengths])


def generation_flops(
    config: TransformerConfig, schedule: ScaleSchedule, prefix: int = 0, *, codes_only: bool = False
) -> ModelFlops:
    """FLOPs of one image without guidance.

    Guidance adds an image without a prompt. The connector of the visual inputs is left out: 2 h^2 for each
    token, 0.2% of a 7B model.

    Args:
        prefix: tokens of the prompt.
        codes_only: logits of the codes at the image's tokens alone, all that sampling needs; otherwise of
            the whole vocabulary everywhere, as in the packing cost model.
    """
    logits = schedule.tokens * config.codebook_size
    if not codes_only:
        logits = (prefix + schedule.tokens) * config.vocabulary
    return model_flops(config, generation_passes(schedule, prefix), logits)


def training_flops(
    config: TransformerConfig, schedule: ScaleSchedule, prefix: int = 0, *, recompute: bool = False
) -> float:
    """FLOPs of training once on an image with a caption: forward, and twice as much backward.

    Args:
        recompute: gradient checkpointing (section 4), which adds a second forward.
    """
    codes = np.zeros(schedule.tokens, np.int64)
    document: list[Part] = [TextPart([0] * prefix), ImagePart(schedule, codes, codes)]
    return (4 if recompute else 3) * document_flops(document, config)


def cache_bytes(config: TransformerConfig, bytes_per_number: int = 2) -> int:
    """Bytes that the cache keeps of one token: its keys and values in every layer."""
    return 2 * config.layers * config.kv_heads * config.head_width * bytes_per_number
