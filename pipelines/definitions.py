"""What Dagster loads: the assets of a recipe, jobs over them, and what runs by itself.

The project comes from NEXTSCALE_HOME and NEXTSCALE_RECIPE. Importing this loads no torch, ray or cv2.
"""

from __future__ import annotations

import dagster as dg

from assets.build import build_assets
from assets.project import Project
from pipelines.automation import discovery, nightly, packing
from pipelines.bring_up_to_date import bring_up_to_date
from pipelines.compare_packers import compare_packers
from pipelines.jobs import asset_jobs
from pipelines.project import project_from_environment


def build_definitions(project: Project) -> dg.Definitions:
    """Dagster's definitions of a project."""
    update = bring_up_to_date(project)
    return dg.Definitions(
        assets=build_assets(project),
        jobs=[*asset_jobs(project), update, compare_packers(project)],
        sensors=[discovery(project), packing(project, update)],
        schedules=[nightly(project, update)],
        executor=dg.in_process_executor,
        metadata={
            "recipe": project.recipe.name,
            "home": project.home,
            "settings": dg.MetadataValue.json(project.recipe.model_dump(mode="json")),
        },
    )


defs = build_definitions(project_from_environment())
