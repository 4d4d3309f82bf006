"""What a document costs to train on: the packing cost model.

F = a * T + eta * b * P, with T positions and P allowed (query, key) pairs. `a` and `b` count the real
architecture (paper A.2 counts a textbook layer); `eta` is attention's inefficiency on a device.
"""

from __future__ import annotations

from collections.abc import Sequence

from model.transformer.config import TransformerConfig
from model.transformer.layout import Part, position_count, step_lengths


def flops_per_position(config: TransformerConfig) -> float:
    """`a`: forward FLOPs of the matrices of all layers and of the output head, for one position."""
    c = config
    keys_and_values = 2 * c.hidden * c.kv_heads * c.head_width
    layer = 2 * c.hidden * c.hidden + keys_and_values + 3 * c.hidden * c.intermediate
    return 2.0 * (c.layers * layer + c.hidden * c.vocabulary)


def flops_per_pair(config: TransformerConfig) -> float:
    """`b`: forward FLOPs of the score and the weighted value of one (query, key) pair, all layers."""
    return 4.0 * config.hidden * config.layers


def allowed_pairs(parts: Sequence[Part], config: TransformerConfig) -> int:
    """P: how many (query, key) pairs of a document its attention mask allows."""
    pairs = seen = 0
    for part in parts:
        for queries in step_lengths(part, config):
            seen += queries
            pairs += queries * seen
    return pairs


def document_flops(parts: Sequence[Part], config: TransformerConfig, eta: float = 1.0) -> float:
    """Forward FLOPs of one document of a pack."""
    positions = flops_per_position(config) * position_count(parts, config)
    return positions + eta * flops_per_pair(config) * allowed_pairs(parts, config)
