"""Where each output is, or will be: from the recipe, the drops, and the manifests published so far.

An output's folder is named by a fingerprint of its settings and its inputs' manifests, so it is known
as soon as the inputs are finished.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from assets.graph import job_assets
from assets.job_asset import JobAsset
from assets.partitions import DROPS, Drops, Partitioning, partition_keys, upstream_partitions
from assets.project import Project
from infra.document import Family
from infra.errors import UserError
from infra.manifest import Manifest, find_manifest
from jobs.sources.discover import raw_asset, raw_output


class NotReadyError(UserError):
    """An input is not finished yet, so what is made from it has no place yet."""


@dataclass(frozen=True)
class Place:
    """An output of an asset: its folder, and the folders it is made from."""

    asset: JobAsset
    partition: str | None
    folder: str
    fingerprint: str
    inputs: dict[str, list[str]]

    @cached_property
    def manifest(self) -> Manifest | None:
        """What is published there, or None while it is not finished."""
        return find_manifest(self.folder)


class Locator:
    """Finds places for one look at the home; make a new one when something was published."""

    def __init__(self, project: Project, drops: Drops) -> None:
        self._project = project
        self._drops = drops
        self._assets = {asset.key: asset for asset in job_assets(project.recipe)}
        self._places: dict[tuple[str, str | None], Place] = {}
        self._raw: dict[str, tuple[str, str]] = {}

    def place(self, key: str, partition: str | None = None) -> Place:
        """The place of one output.

        Raises:
            NotReadyError: an input is not finished; names it.
        """
        if (key, partition) not in self._places:
            self._places[key, partition] = self._locate(self._assets[key], partition)
        return self._places[key, partition]

    def _locate(self, asset: JobAsset, partition: str | None) -> Place:
        found = {key: self._inputs(asset, partition, key) for key in asset.inputs}
        recipe = self._project.recipe
        hashes = {key: [content for _, content in pairs] for key, pairs in found.items()}
        name = asset.fingerprint(recipe, partition, hashes)
        folder = asset.folder(self._project.home, partition, name)
        inputs = {key: [place for place, _ in pairs] for key, pairs in found.items()}
        return Place(asset, partition, folder, name, inputs)

    def read_by(self, asset: JobAsset, partition: str | None) -> list[tuple[JobAsset, str | None]]:
        """Assets and partitions that one output is made from; raw data is no asset's."""
        made = [key for key in asset.inputs if key in self._assets]
        return [(self._assets[key], one) for key in made for one in self._partitions(asset, partition, key)]

    def _partitions(self, asset: JobAsset, partition: str | None, key: str) -> list[str | None]:
        """The partitions of an input that an output is made from."""
        upstream, family = input_partitioning(key, self._assets)
        own = asset.partitioning if family == asset.family else "none"
        drops = self._read_drops(asset, family)
        return upstream_partitions(own, partition, upstream, drops, asset.level)

    def _inputs(self, asset: JobAsset, partition: str | None, key: str) -> list[tuple[str, str]]:
        """Folder and content hash of each output of one input."""
        _, family = input_partitioning(key, self._assets)
        keys = self._partitions(asset, partition, key)
        if not keys:
            raise NotReadyError(
                "no data is discovered yet", describe(asset.key, partition), f"Discover {raw_asset(family)}"
            )
        return [self._finished(key, one) for one in keys]

    def _read_drops(self, asset: JobAsset, family: Family) -> list[str]:
        """The drops of a family that an asset reads, in order.

        Raises:
            NotReadyError: one that its recipe names is not there.
        """
        found = self._drops[family]
        if asset.drops is None:
            return found
        if unknown := sorted(set(asset.drops) - set(found)):
            there = f"Drops are {', '.join(found) or 'not discovered yet'}"
            raise NotReadyError(f"no drop {', '.join(unknown)}", "tokenizer.drops", there)
        return [drop for drop in found if drop in asset.drops]

    def _finished(self, key: str, partition: str | None) -> tuple[str, str]:
        if (family := raw_family(key)) is not None:
            return self._finished_raw(family, str(partition))
        place = self.place(key, partition)
        if place.manifest is None:
            raise NotReadyError("is not finished", describe(key, partition), "Materialize it first")
        return place.folder, place.manifest.hash

    def _finished_raw(self, family: Family, drop: str) -> tuple[str, str]:
        if drop not in self._raw:
            folder = raw_output(self._project.recipe, self._project.home, family, drop)
            manifest = find_manifest(folder)
            if manifest is None:
                where = describe(raw_asset(family), drop)
                raise NotReadyError("is not discovered", where, "Run the discovery again")
            self._raw[drop] = (folder, manifest.hash)
        return self._raw[drop]


def locate(project: Project, drops: Drops, key: str, partition: str | None = None) -> Place:
    """The place of one output, by its asset's key.

    Raises:
        UserError: there is no such asset.
        NotReadyError: an input is not finished.
    """
    check_key(project, key)
    return Locator(project, drops).place(key, partition)


def check_key(project: Project, key: str) -> None:
    """Refuse a key that is no asset of the recipe.

    Raises:
        UserError: with the nearest key.
    """
    keys = [asset.key for asset in job_assets(project.recipe)]
    if key not in keys:
        close = difflib.get_close_matches(key, keys, n=1)
        mend = f"Did you mean {close[0]!r}?" if close else f"Assets: {', '.join(keys)}"
        raise UserError(f"no asset {key!r}", mend=mend)


def all_places(project: Project, drops: Drops) -> list[Place]:
    """The places of every output whose inputs are finished, inputs first."""
    locator = Locator(project, drops)
    places = []
    for asset in job_assets(project.recipe):
        for partition in partition_keys(asset.partitioning, asset.levels, drops[asset.family]):
            try:
                places.append(locator.place(asset.key, partition))
            except NotReadyError:
                continue
    return places


def input_partitioning(key: str, assets: Mapping[str, JobAsset]) -> tuple[Partitioning, Family]:
    """How an input is cut, and by whose drops: raw data is no job's asset."""
    if (family := raw_family(key)) is not None:
        return "drop", family
    return assets[key].partitioning, assets[key].family


def raw_family(key: str) -> Family | None:
    """The family whose raw data a key names, or None."""
    return next((family for family in DROPS if key == raw_asset(family)), None)


def current_drops(instance: dg.DagsterInstance) -> Drops:
    """The drops of every family's last discovery, in order."""
    return {
        family: sorted(instance.get_dynamic_partitions(str(drops.name))) for family, drops in DROPS.items()
    }


def describe(key: str, partition: str | None) -> str:
    """An output in words: `t2i/filtered [t2i-0000]`."""
    return f"{key} [{partition}]" if partition else key
