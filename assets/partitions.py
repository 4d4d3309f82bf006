"""How assets are cut: by drop of a family's raw data, tokens by resolution level, or by both."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import dagster as dg

from infra.document import Family

Partitioning = Literal["none", "drop", "level", "drop_level"]

Drops = Mapping[Family, list[str]]
"""The drops of each family, in order."""

DROPS: dict[Family, dg.DynamicPartitionsDefinition] = {
    family: dg.DynamicPartitionsDefinition(name=f"{family}_drops") for family in get_args(Family)
}
"""Groups of shards of a family's source, as discovered. A drop is what a person re-runs."""

SEPARATOR = "|"
"""Between drop and level in a partition key; Dagster's own."""


def partitions_of(
    kind: Partitioning, family: Family, levels: Sequence[str]
) -> dg.PartitionsDefinition[str] | None:
    """Dagster's definition of a partitioning."""
    if kind == "none":
        return None
    if kind == "drop":
        return DROPS[family]
    by_level = dg.StaticPartitionsDefinition(list(levels))
    if kind == "level":
        return by_level
    return dg.MultiPartitionsDefinition({"drop": DROPS[family], "level": by_level})


def partition_keys(kind: Partitioning, levels: Sequence[str], drops: Sequence[str]) -> list[str | None]:
    """Every partition key of a partitioning, in order; `[None]` where there is only one output."""
    if kind == "none":
        return [None]
    if kind == "drop":
        return list(drops)
    if kind == "level":
        return list(levels)
    return [drop_level(drop, level) for level in levels for drop in drops]


def drop_level(drop: str, level: str) -> str:
    """The partition key of a drop's tokens at a level."""
    return f"{drop}{SEPARATOR}{level}"


def level_of(partition: str) -> str:
    """The level of a partition key that has one."""
    return partition.split(SEPARATOR)[-1]


def upstream_partitions(
    own: Partitioning, partition: str | None, upstream: Partitioning, drops: Sequence[str], level: str | None
) -> list[str | None]:
    """The partitions of an input that an output reads, in order.

    Args:
        own: the partitioning of the asset that reads; `none` where its drops are of another family.
        partition: the partition it makes.
        upstream: the partitioning of its input.
        drops: every drop of the input's family.
        level: for an unpartitioned asset that reads tokens, the level it reads.
    """
    if upstream == "none":
        return [None]
    if upstream == "level":
        return [level]
    if own == "none":
        return [drop_level(drop, str(level)) if upstream == "drop_level" else drop for drop in drops]
    assert partition is not None
    return [partition.split(SEPARATOR)[0]] if upstream == "drop" else [partition]


def dagster_mapping(own: Partitioning, upstream: Partitioning) -> dg.PartitionMapping | None:
    """The same for the graph in Dagster's UI; None leaves Dagster's default."""
    if upstream == "none":
        return None
    if own == "none":
        return dg.AllPartitionMapping()
    if (own, upstream) == ("drop_level", "drop"):
        with warnings.catch_warnings():
            # Dagster calls this mapping beta on every load; its version is pinned here.
            warnings.simplefilter("ignore", dg.BetaWarning)
            return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name="drop")
    return None
