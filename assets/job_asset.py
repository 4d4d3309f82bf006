"""What an asset of ours is, before Dagster: a job, its inputs, and the part of the recipe it obeys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from assets.checks import Check
from assets.partitions import SEPARATOR, Partitioning
from assets.weights import weight_versions
from infra import storage
from infra.document import Family
from infra.job import Resources
from infra.manifest import digest, fingerprint
from jobs.recipe import Recipe

Settings = Callable[[Recipe, str | None], BaseModel]


def all_cores(_recipe: Recipe) -> Resources:
    """What a job may use where its recipe says nothing of it."""
    return Resources()


@dataclass(frozen=True)
class JobAsset:
    """An asset that a job makes."""

    key: str
    group: str
    job: str
    area: str
    """Folder below the home."""
    inputs: tuple[str, ...]
    """Keys of the assets it is made from."""
    settings: Settings
    """From the recipe and the partition to the job's settings."""
    description: str
    partitioning: Partitioning = "none"
    family: Family = "t2i"
    """Whose drops it is partitioned by."""
    levels: tuple[str, ...] = ()
    """Levels it is partitioned by."""
    drops: tuple[str, ...] | None = None
    """Of an asset that is not cut by drops: those that it reads; None reads all."""
    records_from: tuple[str, ...] = ()
    """Inputs whose kept records it accounts for: each is kept, rejected or errored here."""
    level: str | None = None
    """Of an unpartitioned asset that reads tokens: the level it reads."""
    checks: tuple[Check, ...] = ()
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    """Settings that do not change what is made, as pydantic's `exclude`: what only checks read, or what only
    decides how fast it is made."""
    resources: Callable[[Recipe], Resources] = all_cores
    """What the job may use."""
    version: str = "1"
    """Of the job's code: raise it when the same inputs and settings give something else."""

    def fingerprint(self, recipe: Recipe, partition: str | None, input_hashes: dict[str, list[str]]) -> str:
        """The name of what the job makes from these inputs."""
        exclude = dict(self.thresholds) or None
        settings = as_compared(self.settings(recipe, partition), exclude)
        return fingerprint(self.key, self.version, settings | {"seed": recipe.seed}, input_hashes)

    def code_version(self, recipe: Recipe) -> str:
        """Dagster's code version: settings of every level, thresholds too, and the job's version."""
        keys: list[str | None] = [f"{SEPARATOR}{level}" for level in self.levels]
        settings = [as_compared(self.settings(recipe, key)) for key in keys or [None]]
        return digest({"version": self.version, "seed": recipe.seed, "settings": settings})[:16]

    def folder(self, home: str, partition: str | None, name: str) -> str:
        """The output folder with a fingerprint."""
        part = partition.replace(SEPARATOR, "--") if partition else ""
        return storage.join(home, self.area, part, name)


def as_compared(settings: BaseModel, exclude: dict[str, Any] | None = None) -> dict[str, Any]:
    """Settings as they are compared: with the versions of weights on the disk, where they name such."""
    versions = weight_versions(settings)
    return settings.model_dump(mode="json", exclude=exclude) | (
        {"weight_versions": versions} if versions else {}
    )
