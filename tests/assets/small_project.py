"""The demo's recipe, small enough for tests."""

from __future__ import annotations

from jobs.recipe import Recipe
from pipelines.project import DEMO_RECIPE, load_recipe

SIZES = [
    "sources.t2i.count=120",
    "sources.t2i.shard_records=30",
    "sources.t2i.drop_shards=2",
    "curation.t2i.topics.by=caption",
    "stages.pretrain_256.mixture={t2i: 1}",
]


def small_recipe(*overrides: str) -> Recipe:
    """The demo with 120 pictures in two drops, trained on pictures from captions alone."""
    return load_recipe(DEMO_RECIPE, [*SIZES, *overrides])
