"""What Dagster loads: the assets of a recipe, jobs over them, and a sensor that finds new data.

The project comes from NEXTSCALE_HOME and NEXTSCALE_RECIPE. Importing this loads no torch, ray or cv2.
"""

from __future__ import annotations

import dagster as dg

from assets.build import asset_key, build_assets
from assets.graph import job_assets
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
        jobs=_jobs(project),
        sensors=[_discovery(project)],
        executor=dg.in_process_executor,
        metadata={
            "recipe": project.recipe.name,
            "home": project.home,
            "settings": dg.MetadataValue.json(project.recipe.model_dump(mode="json")),
        },
    )


def _jobs(project: Project) -> list[dg.UnresolvedAssetJobDefinition]:
    """What people start by hand: a drop's curation and tokens, and everything that all drops feed."""
    groups = dg.AssetSelection.groups
    return [
        *_curation_jobs(project),
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


def _curation_jobs(project: Project) -> list[dg.UnresolvedAssetJobDefinition]:
    """One for the drops of each family, and one for what all drops feed: a job has partitions of one kind."""
    assets = [asset for asset in job_assets(project.recipe) if asset.group.startswith("curation")]
    keys: dict[str, list[str]] = {}
    for asset in assets:
        name = f"curate_{asset.family}" if asset.partitioning == "drop" else "mix_curated"
        keys.setdefault(name, []).append(asset.key)
    return [
        dg.define_asset_job(
            name,
            dg.AssetSelection.assets(*map(asset_key, chosen)),
            description="Bring all drops together." if name == "mix_curated" else "Curate one drop.",
        )
        for name, chosen in keys.items()
    ]


def _discovery(project: Project) -> dg.SensorDefinition:
    """Looks for new raw data once a minute. It only lists; nothing is computed until someone asks."""

    @dg.sensor(
        name="discover",
        minimum_interval_seconds=SENSOR_SECONDS,
        # On from the start: without drops there would be nothing to click on.
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lists every source and adds its new drops as partitions.",
    )
    def discover(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        end_killed_runs(context.instance)
        try:
            drops = report_drops(project, context.instance)
        except UserError as error:
            return dg.SkipReason(str(error))
        return dg.SkipReason(f"{sum(map(len, drops.values()))} drops; materialize what you want of them")

    return discover


defs = build_definitions(project_from_environment())
