"""What a document costs to train on: the packing cost model.

F = a * T + eta * b * P, with T positions and P allowed (query, key) pairs. `a` and `b` count the real
architecture (paper A.2 counts a textbook layer); `eta` is attention's inefficiency on a device, as
`bench/fit_cost.py` fits it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.transformer.config import ContextMode, TransformerConfig
from model.transformer.layout import Part, position_count, step_lengths


@dataclass(frozen=True)
class CostModel:
    """Forward FLOPs by positions and pairs. `per_pair` has `eta` in it."""

    per_position: float
    per_pair: float

    @classmethod
    def of(cls, config: TransformerConfig, eta: float = 1.0) -> CostModel:
        """The cost model of a transformer on a device."""
        return cls(flops_per_position(config), eta * flops_per_pair(config))

    def cost(self, positions: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """F of many documents."""
        return self.per_position * positions + self.per_pair * pairs


def flops_per_position(config: TransformerConfig) -> float:
    """`a`: forward FLOPs of the matrices of all layers and of the output head, for one position."""
    c = config
    keys_and_values = 2 * c.hidden * c.kv_heads * c.head_width
    layer = 2 * c.hidden * c.hidden + keys_and_values + 3 * c.hidden * c.intermediate
    return 2.0 * (c.layers * layer + c.hidden * c.vocabulary)


def flops_per_pair(config: TransformerConfig) -> float:
    """`b`: forward FLOPs of the score and the weighted value of one (query, key) pair, all layers."""
    return 4.0 * config.hidden * config.layers


def allowed_pairs(parts: Sequence[Part], context_mode: ContextMode) -> int:
    """P: how many (query, key) pairs of a document its attention mask allows."""
    pairs = seen = 0
    for part in parts:
        for queries in step_lengths(part, context_mode):
            seen += queries
            pairs += queries * seen
    return pairs


def document_flops(parts: Sequence[Part], config: TransformerConfig, eta: float = 1.0) -> float:
    """Forward FLOPs of one document of a pack."""
    positions, pairs = (count(parts, config.context_mode) for count in (position_count, allowed_pairs))
    return flops_per_position(config) * positions + eta * flops_per_pair(config) * pairs
