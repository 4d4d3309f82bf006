"""Checkpoints: which were trained on packs, or start from one that was, and what was evaluated of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from assets.lineage.home import Home, figures, input_folders, output_folders
from assets.lineage.pack_files import PREFIX, packed_among
from assets.locate import Place
from infra.manifest import INPUTS, MANIFEST, Manifest, read_manifest
from jobs.recipe import Recipe

PACKS_AREA = "packs"
TRAINING = "training/"

_AREA = "checkpoints"


@dataclass(frozen=True)
class Checkpoint:
    """A trained stage.

    `link` says how it comes from what was asked: it was trained on packs that hold it, or starts from a
    checkpoint that was.
    """

    asset: str
    folder: str
    packs: str
    """Folder of the packs it was trained on."""
    epochs: float
    """How often its run went over the packs; below 1 it did not reach all of them."""
    before: tuple[str, ...]
    """Keys of the stages it starts from, the nearest first."""
    evaluations: tuple[tuple[str, str], ...]
    """Key and folder of each."""
    link: Literal["packs", "start"] = "packs"


def checkpoints_of(home: Home, recipe: Recipe, packs: Collection[str]) -> list[Checkpoint]:
    """Checkpoints that were trained on packs of these folders, and all that start from them."""
    reached: set[str] = set()
    found = []
    for place in trainings(home):
        trained = _packs_folder(place) in packs
        if trained or reached & set(input_folders(place)):
            reached.add(place.folder)
            found.append(checkpoint(home, recipe, place, "packs" if trained else "start"))
    return found


def seen(home: str, ids: Collection[int]) -> dict[str, set[int]]:
    """Which of the samples the checkpoints of a home have seen, of whatever recipe, by folder.

    A checkpoint has seen what is in the packs that its manifest names, and what the checkpoint that it
    starts from has seen. Packs that are gone tell nothing.
    """
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for folder, manifest in _published(home, PACKS_AREA).items():
        found[manifest.asset, manifest.hash] |= packed_among(folder, manifest, ids)
    trained = _published(home, _AREA)
    for _ in trained:  # a stage later in each round, whatever their order
        for manifest in trained.values():
            found[manifest.asset, manifest.hash] |= _held_by_inputs(manifest, found)
    return {folder: found[manifest.asset, manifest.hash] for folder, manifest in trained.items()}


def trainings(home: Home) -> list[Place]:
    """The trained stages of a home, in order."""
    return [place for place in home.made("training") if place.asset.key.startswith(TRAINING)]


def checkpoint(
    home: Home, recipe: Recipe, place: Place, link: Literal["packs", "start"] = "packs"
) -> Checkpoint:
    """What there is to say of a trained stage."""
    stage = recipe.stages[place.asset.key.removeprefix(TRAINING)]
    packs = _packs_folder(place)
    number = sum(file.rows for file in read_manifest(packs).files if file.path.startswith(PREFIX))
    evaluated = home.reading("evaluation", [place.folder])
    return Checkpoint(
        asset=place.asset.key,
        folder=place.folder,
        packs=packs,
        epochs=stage.steps * stage.packs_per_step / number if number else 0.0,
        before=_before(home, place),
        evaluations=tuple((one.asset.key, one.folder) for one in evaluated),
        link=link,
    )


def families(home: Home, place: Place) -> dict[str, float]:
    """Shares of the families in the packs that a stage was trained on."""
    packs = next(one for one in home.made("packing") if one.folder == _packs_folder(place))
    shares: dict[str, float] = figures(packs).get("mixture", {})
    return shares


def _published(home: str, area: str) -> dict[str, Manifest]:
    """Manifests of the finished outputs of an area, by folder."""
    folders = output_folders(home, area)
    return {folder: read_manifest(folder) for folder, paths in folders.items() if MANIFEST in paths}


def _held_by_inputs(manifest: Manifest, held: dict[tuple[str, str], set[int]]) -> set[int]:
    read = manifest.metadata.get(INPUTS, {})
    keys = [(asset, content) for asset, contents in read.items() for content in contents]
    return set[int]().union(*(held.get(key, ()) for key in keys))


def _packs_folder(place: Place) -> str:
    (folder,) = place.inputs[f"packs/{place.asset.key.removeprefix(TRAINING)}"]
    return folder


def _before(home: Home, place: Place) -> tuple[str, ...]:
    by_folder = {one.folder: one for one in trainings(home)}
    found: list[str] = []
    while earlier := [by_folder[folder] for folder in input_folders(place) if folder in by_folder]:
        place = earlier[0]
        found.append(place.asset.key)
    return tuple(found)
