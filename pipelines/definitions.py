"""What Dagster loads: the assets of a recipe, jobs over them, and a sensor that finds new data.

The project comes from NEXTSCALE_HOME and NEXTSCALE_RECIPE. Importing this loads no torch, ray or cv2.
"""

from __future__ import annotations

import dagster as dg

from assets.build import build_assets
from assets.killed import end_killed_runs
from assets.project import Project
from assets.sources import report_drops
from infra.errors import UserError
from pipelines.project import project_from_environment

SENSOR_SECONDS = 60


def build_definitions(project: Project) -> dg.Definitions:
    """Dagster's definitions of a project."""
    return dg.Definitions(
        assets=build_assets(project),
        jobs=_jobs(),
        sensors=[_discovery(project)],
        executor=dg.in_process_executor,
        metadata={
            "recipe": project.recipe.name,
            "home": project.home,
            "settings": dg.MetadataValue.json(project.recipe.model_dump(mode="json")),
        },
    )


def _jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """What people start by hand: a drop's curation and tokens, and everything that all drops feed."""
    groups = dg.AssetSelection.groups
    return [
        dg.define_asset_job(
            "curate_drop",
            groups("curation"),
            description="Curate one drop of raw data.",
        ),
        dg.define_asset_job("train_tokenizer", groups("tokenizer"), description="Train the image tokenizer."),
        dg.define_asset_job(
            "extract_tokens",
            groups("tokens"),
            description="Turn one drop's documents into tokens of one level.",
        ),
        dg.define_asset_job(
            "train_and_evaluate",
            groups("packing", "training", "evaluation"),
            description="Pack, train and evaluate every stage, in order.",
        ),
    ]


def _discovery(project: Project) -> dg.SensorDefinition:
    """Looks for new raw data once a minute. It only lists; nothing is computed until someone asks."""

    @dg.sensor(
        name="discover_t2i",
        minimum_interval_seconds=SENSOR_SECONDS,
        # On from the start: without drops there would be nothing to click on.
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lists the text-to-image source and adds its new drops as partitions.",
    )
    def discover(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        end_killed_runs(context.instance)
        try:
            drops = report_drops(project, context.instance)
        except UserError as error:
            return dg.SkipReason(str(error))
        return dg.SkipReason(f"{len(drops)} drops; materialize what you want of them")

    return discover


defs = build_definitions(project_from_environment())
