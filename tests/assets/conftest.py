"""A small project that tests of the assets share: two drops of drawn pictures, curated once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from small_project import small_recipe

from assets.plan import StageResult, materialize_stale
from assets.project import Project
from infra.settings import prepare_dagster_home


@pytest.fixture(scope="package")
def curated(
    ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Project, dg.DagsterInstance, list[StageResult]]]:
    """A home whose curation is done, its Dagster instance, and what the walk said."""
    home = str(tmp_path_factory.mktemp("home"))
    project = Project(small_recipe(), home)
    with dg.DagsterInstance.from_config(prepare_dagster_home(home)) as instance:
        results = list(materialize_stale(project, instance, "t2i/*"))
        yield project, instance, results


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance without history."""
    with dg.DagsterInstance.from_config(prepare_dagster_home(str(tmp_path / "history"))) as instance:
        yield instance
