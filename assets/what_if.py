"""Questions about a recipe, answered by jobs on what is there already. The answers are no assets."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from assets.job_asset import as_compared
from assets.locate import Place, current_drops, locate
from assets.project import Project
from infra import storage
from infra.job import JobSpec
from infra.manifest import Manifest, find_manifest, fingerprint, read_manifest
from infra.reporter import Reporter
from jobs.recipe import Packing
from jobs.specs import PackSettings
from jobs.specs.what_if import ComparePackersSettings

PACKERS = "what_if/packers"


def compare_packers(
    project: Project,
    instance: dg.DagsterInstance,
    stage: str | None,
    ranks: int | None,
    packing: Mapping[str, float | None],
    report: Reporter,
) -> tuple[str, Manifest]:
    """Simulate every packer on a stage's tokens, unless that was done before.

    Args:
        stage: of the recipe; None is the last one.
        ranks: packs of one training step; None is the stage's own number.
        packing: settings that differ from the stage's; None is the stage's.

    Returns:
        The folder of the answer, and its manifest.

    Raises:
        UserError: there is no such stage, its tokens are not finished, or nothing can be packed.
    """
    place = locate(project, current_drops(instance), f"packs/{stage or list(project.recipe.stages)[-1]}")
    spec = _spec(project, place, _settings(project, place, ranks, packing))
    done = find_manifest(spec.output)
    return spec.output, done or project.launcher.run("jobs.what_if.packers:run", spec, report)


def _settings(
    project: Project, place: Place, ranks: int | None, packing: Mapping[str, float | None]
) -> ComparePackersSettings:
    pack = place.asset.settings(project.recipe, None)
    assert isinstance(pack, PackSettings)
    changed = {name: value for name, value in packing.items() if value is not None}
    own = Packing.model_validate(pack.packing.model_dump() | changed)
    ranks = ranks or project.recipe.stages[pack.stage_name].packs_per_step
    return ComparePackersSettings(pack=pack.model_copy(update={"packing": own}), ranks=ranks)


def _spec(
    project: Project, place: Place, settings: ComparePackersSettings
) -> JobSpec[ComparePackersSettings]:
    hashes = {
        key: [read_manifest(folder).hash for folder in folders] for key, folders in place.inputs.items()
    }
    values = as_compared(settings) | {"seed": project.recipe.seed}
    name = fingerprint(PACKERS, "1", values, hashes)
    return JobSpec(
        asset=PACKERS,
        fingerprint=name,
        seed=project.recipe.seed,
        inputs=place.inputs,
        output=storage.join(project.home, PACKERS, settings.pack.stage_name, name),
        settings=settings,
    )
