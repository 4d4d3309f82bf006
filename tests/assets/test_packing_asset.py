"""The packing asset: what decides its packs is in its name, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from assets.graph import job_assets
from assets.project import Project
from pipelines.project import DEMO_RECIPE, load_recipe

STAGE = "alignment"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(load_recipe(DEMO_RECIPE), str(tmp_path_factory.mktemp("home")))


def fingerprint(project: Project, **changes: Any) -> str:
    """The name of the packs when fields of the stage, of its packing (`packing_`) or of the recipe change."""
    recipe = project.recipe
    stage = recipe.stages[STAGE]
    of_packing = {k.removeprefix("packing_"): v for k, v in changes.items() if k.startswith("packing_")}
    of_stage = {k: v for k, v in changes.items() if k == "packs_per_step"}
    changed = stage.model_copy(update=of_stage | {"packing": stage.packing.model_copy(update=of_packing)})
    rest = {k: v for k, v in changes.items() if k in ("forgotten", "seed")}
    recipe = recipe.model_copy(update=rest | {"stages": recipe.stages | {STAGE: changed}})
    asset = next(a for a in job_assets(recipe) if a.key == f"packs/{STAGE}")
    return asset.fingerprint(recipe, None, {})


@pytest.mark.parametrize("change", [{"packs_per_step": 64}, {"packing_min_balance": 0.1}])
def test_what_only_figures_and_checks_read_packs_nothing_anew(
    project: Project, change: dict[str, Any]
) -> None:
    assert fingerprint(project, **change) == fingerprint(project)


@pytest.mark.parametrize(
    "change",
    [
        {"packing_fill": 0.5},
        {"packing_packer": "fixed_budget"},
        {"packing_attention_cost": 2.0},
        {"packing_oversize": "alone"},
        {"packing_repeats": {"t2i": 2}},
        {"forgotten": ["00000000000000ff"]},
        {"seed": 5},
    ],
)
def test_what_decides_packs_is_in_their_name(project: Project, change: dict[str, Any]) -> None:
    assert fingerprint(project, **change) != fingerprint(project)
