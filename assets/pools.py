"""Which runs must not go at once: a run holds the pools of all its steps, each with a limit set in the UI.

Dagster's written settings count whole runs (`granularity: run`): its queue starts a run when its pools have
room, and a run that is over, killed ones too, holds nothing. A walk in a process of its own does not wait.
"""

from __future__ import annotations

import dagster as dg

from assets.job_asset import JobAsset

CORES = "cores"
"""Runs that take all cores of a machine, such as curation and packing."""

GPU = "gpu"
"""Runs that take the GPU where there is one: trainings, extraction of tokens, evaluations."""

_GPU_GROUPS = frozenset({"tokenizer", "tokens", "training", "evaluation"})


def pool_of(asset: JobAsset) -> str:
    """The pool of an asset's step."""
    return GPU if asset.group in _GPU_GROUPS else CORES


def ensure_limits(instance: dg.DagsterInstance) -> None:
    """Give each pool the default limit of Dagster's settings, unless it has a limit.

    Dagster does so when a run of the pool leaves the queue, too late for the second run in the same batch.
    """
    storage = instance.event_log_storage
    if instance.get_concurrency_config().pool_config.default_pool_limit is None:
        return
    for pool in {CORES, GPU} - storage.get_concurrency_keys():
        storage.initialize_concurrency_limit_to_default(pool)
