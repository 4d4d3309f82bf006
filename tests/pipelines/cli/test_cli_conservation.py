"""The check of conservation between stages holds, and fails when a record goes missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.graph import job_assets
from assets.locate import Place
from infra.catalogue import Counts
from infra.manifest import Manifest, Output
from infra.yaml_model import load_yaml_model
from jobs.recipe import Recipe
from pipelines.cli.conservation import broken_links
from pipelines.cli.workspace import SHIPPED

ASSETS = {asset.key: asset for asset in job_assets(load_yaml_model(Recipe, str(SHIPPED / "demo.yaml")))}


def publish(folder: Path, asset: str, counts: Counts) -> str:
    manifest = Manifest(asset=asset, partition=None, fingerprint="f", files=(), counts=counts)
    Output(str(folder)).commit(manifest)
    return str(folder)


def place(tmp_path: Path, kept: tuple[int, ...], total: int) -> Place:
    """Packs made of several drops of tokens that kept so many documents each."""
    source, name = "tokens/t2i", "packs/alignment"
    drops = [
        publish(tmp_path / f"drop-{n}", source, Counts(total=k + 1, kept=k, rejected={"too_long": 1}))
        for n, k in enumerate(kept)
    ]
    packs = publish(tmp_path / "packs", name, Counts(total=total, kept=total))
    return Place(ASSETS[name], None, packs, "f", {source: drops})


def test_all_records_arrive(tmp_path: Path) -> None:
    assert broken_links([place(tmp_path, (3, 4), 7)]) == []


@pytest.mark.parametrize("total", [6, 8])
def test_a_lost_or_doubled_record_is_found(tmp_path: Path, total: int) -> None:
    found = broken_links([place(tmp_path, (3, 4), total)])
    assert found == [f"packs/alignment: {total} records went in, tokens/t2i kept 7"]


def test_what_is_not_finished_is_not_judged(tmp_path: Path) -> None:
    unfinished = Place(ASSETS["packs/alignment"], None, str(tmp_path / "nothing"), "f", {"tokens/t2i": []})
    assert broken_links([unfinished]) == []
