"""What Dagster loads: the assets of a recipe, jobs over them, and what runs by itself.

The project comes from NEXTSCALE_HOME and NEXTSCALE_RECIPE. Importing this loads no torch, ray or cv2.
"""

from __future__ import annotations

import dagster as dg

from assets.build import build_assets
from pipelines.automation import Load, discovery, nightly, packing
from pipelines.bring_up_to_date import bring_up_to_date
from pipelines.compare_packers import compare_packers
from pipelines.jobs import asset_jobs
from pipelines.project import project_from_environment


def build_definitions(load: Load) -> dg.Definitions:
    """Dagster's definitions of a project.

    Args:
        load: makes the project: now for assets and jobs, anew at each tick of a sensor or schedule.
    """
    project = load()
    update = bring_up_to_date(project)
    return dg.Definitions(
        assets=build_assets(project),
        jobs=[*asset_jobs(project), update, compare_packers(project)],
        sensors=[discovery(load), packing(load, update)],
        schedules=[nightly(load, update)],
        executor=dg.in_process_executor,
        metadata={
            "recipe": project.recipe.name,
            "home": project.home,
            "settings": dg.MetadataValue.json(project.recipe.model_dump(mode="json")),
        },
    )


defs = build_definitions(project_from_environment)
