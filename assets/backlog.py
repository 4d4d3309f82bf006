"""What is to be done before the packs hold every discovered drop, and how much of it needs no training.

Only looks. New data makes an image tokenizer stale that is trained on it, and with it all tokens; a person
decides when that is worth a training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from assets.build import asset_key
from assets.graph import job_assets
from assets.job_asset import JobAsset
from assets.locate import current_drops
from assets.plan import StageStatus, statuses
from assets.project import Project
from assets.selection import select
from assets.sources import raw_key
from infra.manifest import digest

PACKS = "+packs/*"
"""Every stage's packs, and all that they are made from."""

TRAININGS = frozenset({"jobs.semantic.train:run", "jobs.tokenizer.train:run", "jobs.train.run:run"})
"""Jobs that learn weights: only a person starts them."""


@dataclass(frozen=True)
class Backlog:
    """Outputs on the way to the packs that are not fresh."""

    ready: tuple[str, ...]
    """Keys of assets with such outputs that need no training, inputs first."""
    trainings: tuple[str, ...]
    """Keys of the trainings that all others wait for."""
    words: str
    """What is to be done, in one line."""
    state: str
    """Names what all this is made from: the recipe, the drops and the trained weights."""


def find_backlog(project: Project, instance: dg.DagsterInstance) -> Backlog:
    """What the packs lack, by the drops of the last discovery."""
    assets = select(job_assets(project.recipe), PACKS)
    wanted = {asset.key for asset in assets}
    behind = [s for s in statuses(project, instance) if s.asset in wanted and s.state != "fresh"]
    keys = {status.asset for status in behind}
    waiting = _waiting(assets, keys)
    return Backlog(
        ready=tuple(asset.key for asset in assets if asset.key in keys - waiting),
        trainings=tuple(asset.key for asset in assets if asset.key in keys and asset.job in TRAININGS),
        words=_words(behind),
        state=_state(project, instance, assets),
    )


def _waiting(assets: Sequence[JobAsset], behind: set[str]) -> set[str]:
    """Trainings that are behind, and all that is made from them; assets come inputs first."""
    found: set[str] = set()
    for asset in assets:
        if (asset.job in TRAININGS and asset.key in behind) or found & set(asset.inputs):
            found.add(asset.key)
    return found


def _words(behind: Sequence[StageStatus]) -> str:
    """Such as `t2i/filtered: 2 missing, 1 stale; packs/pretrain: 1 stale`."""
    states: dict[str, Counter[str]] = {}
    for status in behind:
        states.setdefault(status.asset, Counter())[status.state] += 1
    return "; ".join(
        f"{key}: {', '.join(f'{number} {state}' for state, number in sorted(counts.items()))}"
        for key, counts in states.items()
    )


def _state(project: Project, instance: dg.DagsterInstance, assets: Sequence[JobAsset]) -> str:
    """Changes with the recipe, the data and what was trained, but not while outputs are made."""
    families = {asset.family for asset in assets}
    drops = {family: keys for family, keys in current_drops(instance).items() if family in families}
    data = {drop: _version(instance, raw_key(f), drop) for f, keys in drops.items() for drop in keys}
    weights = {a.key: _version(instance, asset_key(a.key)) for a in assets if a.job in TRAININGS}
    code = {asset.key: asset.code_version(project.recipe) for asset in assets}
    return digest({"code": code, "data": data, "weights": weights})[:16]


def _version(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None = None) -> str | None:
    """The data version of the latest materialization, or None without one."""
    partitions = None if partition is None else [partition]
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=partitions)
    records = instance.fetch_materializations(wanted, limit=1).records
    event = records[0].asset_materialization if records else None
    return (event.tags or {}).get("dagster/data_version") if event else None
