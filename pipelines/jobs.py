"""Jobs over assets that people start by hand.

A run makes assets of one partition, so a job has partitions of one kind, and nothing that needs another job
in between: what one drop's curation waits for from all drops is where the job ends, and a second begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from assets.build import asset_key
from assets.graph import job_assets
from assets.job_asset import JobAsset
from assets.project import Project

_WORDS = {
    "mix_curated": "Bring all drops together.",
    "find_faces": "Find the pictures of one drop that show a face.",
    "train_semantic_encoder": "Train the small encoder that says what pictures mean.",
    "train_tokenizer": "Train the image tokenizer and measure it.",
    "train_and_evaluate": "Pack, train and evaluate every stage, in order.",
}


def asset_jobs(project: Project) -> list[dg.UnresolvedAssetJobDefinition]:
    """Curation and tokens of one drop, what all drops feed, and the trainings."""
    return [
        dg.define_asset_job(
            name,
            dg.AssetSelection.assets(*(asset_key(asset.key) for asset in assets)),
            description=_describe(name, assets),
        )
        for name, assets in grouped(job_assets(project.recipe)).items()
    ]


def grouped(assets: Sequence[JobAsset]) -> dict[str, list[JobAsset]]:
    """Assets by job, in an order in which the jobs can be run; assets come inputs first.

    A job that others interrupt goes on as `<name>_2`.
    """
    parts = _parts(assets)
    numbers: dict[str, list[int]] = {}
    for asset in assets:
        seen = numbers.setdefault(_kind(asset), [])
        if parts[asset.key] not in seen:
            seen.append(parts[asset.key])
    found: dict[str, list[JobAsset]] = {}
    for asset in sorted(assets, key=lambda asset: parts[asset.key]):
        kind = _kind(asset)
        number = sorted(numbers[kind]).index(parts[asset.key]) + 1
        found.setdefault(kind if number == 1 else f"{kind}_{number}", []).append(asset)
    return found


def _parts(assets: Sequence[JobAsset]) -> dict[str, int]:
    """For each asset, how often the longest way to it changes from one kind of job to another."""
    kinds = {asset.key: _kind(asset) for asset in assets}
    parts: dict[str, int] = {}
    for asset in assets:
        made = [key for key in asset.inputs if key in parts]
        parts[asset.key] = max((parts[key] + (kinds[key] != kinds[asset.key]) for key in made), default=0)
    return parts


def _kind(asset: JobAsset) -> str:
    """The job that an asset is made by."""
    if asset.group.startswith("curation"):
        return f"curate_{asset.family}" if asset.partitioning == "drop" else "mix_curated"
    if asset.group == "tokens":
        return asset.key.replace("tokens/", "extract_")
    if asset.group == "tokenizer":
        special = {"tokenizer/faces": "find_faces", "tokenizer/semantic": "train_semantic_encoder"}
        return special.get(asset.key, "train_tokenizer")
    return "train_tokenizer" if asset.key == "evaluation/tokenizer" else "train_and_evaluate"


def _describe(name: str, assets: Sequence[JobAsset]) -> str:
    if name in _WORDS:
        return _WORDS[name]
    first = assets[0]
    if first.group == "tokens":
        return first.description
    drop = "Curate one drop" if first.partitioning == "drop" else "Bring all drops together"
    before = sorted({key for asset in assets for key in asset.inputs} - {asset.key for asset in assets})
    return f"{drop}: {', '.join(asset.key for asset in assets)}. Reads {', '.join(before)}."
