"""Runs a recipe in this process and gathers what a command says about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infra.manifest import Output, read_manifest
from pipelines.cli.console import View, make_view
from pipelines.cli.workspace import Workspace

if TYPE_CHECKING:
    from assets.plan import StageResult

EVALUATION = "evaluation/"


@dataclass(frozen=True)
class Outcome:
    """What a run made or found fresh, in order, and the records that are unaccounted for."""

    results: Sequence[StageResult]
    broken: Sequence[str]

    @property
    def all_reused(self) -> bool:
        """Whether nothing had to be computed."""
        return all(result.reused for result in self.results)

    @property
    def evaluations(self) -> list[StageResult]:
        """The evaluations among the results."""
        return [result for result in self.results if result.asset.startswith(EVALUATION)]

    @property
    def pictures(self) -> dict[str, list[str]]:
        """URIs of the pictures of each asset that has some."""
        found = {r.asset: sorted(Output(r.folder).pictures().values()) for r in self.results}
        return {asset: uris for asset, uris in found.items() if uris}

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "assets": [asdict(r) | {"counts": r.counts.model_dump()} for r in self.results],
            "conserved": not self.broken,
            "broken": list(self.broken),
            "figures": {r.asset: read_manifest(r.folder).metadata for r in self.evaluations},
            "pictures": self.pictures,
        }


def execute(workspace: Workspace, select: str | None = None) -> Outcome:
    """Make what is stale of a selection, and of all it needs, with progress on stderr.

    Raises:
        UserError: something a user can mend; what was finished before stays finished.
    """
    from assets.graph import job_assets
    from pipelines.cli.selection import with_upstream

    selection = with_upstream(select, job_assets(workspace.recipe)) if select is not None else None
    with make_view() as view, workspace.open_instance() as instance:
        from assets.plan import materialize_stale

        project = workspace.project(view.watch)
        results = [_show(view, r) for r in materialize_stale(project, instance, selection)]
        return Outcome(results, _broken_links(workspace, results, instance))


def _show(view: View, result: StageResult) -> StageResult:
    view.finish(result)
    return result


def _broken_links(workspace: Workspace, results: Sequence[StageResult], instance: Any) -> list[str]:
    """The check of conservation, over the places that the run touched."""
    from assets.locate import all_places, current_drops
    from pipelines.cli.conservation import broken_links

    touched = {(r.asset, r.partition) for r in results}
    places = all_places(workspace.project(), current_drops(instance))
    return broken_links(p for p in places if (p.asset.key, p.partition) in touched)
