"""The job `compare_packers`: how each packer would pack a stage, from its token columns; no pack is written.

No postponed annotations here: Dagster reads the types of a step's arguments when it is defined.
"""

from collections.abc import Mapping

import dagster as dg
from pydantic import Field

from assets.metadata import counts_metadata, picture_markdown
from assets.pools import CORES
from assets.project import Project
from assets.what_if import compare_packers as compare
from infra.manifest import Output
from pipelines.in_op import RunLog, failing_in_one_line

NAME = "compare_packers"

COLUMNS = {
    "throughput": "tokens/s, of the paper's",
    "balance": "mean / max compute of a step",
    "p99": "99% of steps above",
    "worst": "worst step",
    "token_fill": "tokens, of the cap",
    "packs": "packs",
    "packs_over_bound": "packs, of the fewest within both limits",
    "family_std": "std of a family's share",
}
"""Figures of the table, and what they are."""


class ComparePackers(dg.Config):
    """What to simulate. What is null is as in the recipe. All packers have the same documents, each once,
    without those over the compute budget."""

    stage: str | None = Field(default=None, description="A stage of the recipe; null: the last one.")
    ranks: int | None = Field(
        default=None,
        ge=1,
        description="Packs of one training step, one a rank: a step takes as long as the most expensive.",
    )
    max_tokens: int | None = Field(default=None, ge=64, description="Token cap of a pack.")
    fill: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Compute budget of a pack, as the share of what a pack full of mean documents costs.",
    )
    attention_cost: float | None = Field(
        default=None,
        gt=0,
        description="FLOPs of attention as a multiple of their cost in the matrices, on your device.",
    )


def compare_packers(project: Project) -> dg.JobDefinition:
    """The job of a project."""

    @dg.op(pool=CORES, out=dg.Out(dg.Nothing), description="Pack the documents' columns in every way.")
    def simulate(context: dg.OpExecutionContext, config: ComparePackers) -> None:
        packing = {
            "max_tokens": config.max_tokens,
            "fill": config.fill,
            "attention_cost": config.attention_cost,
        }
        report = RunLog(context.log, NAME)
        with failing_in_one_line():
            folder, manifest = compare(project, context.instance, config.stage, config.ranks, packing, report)
        pictures = {name: picture_markdown(name, uri) for name, uri in Output(folder).pictures().items()}
        context.add_output_metadata(
            {"table": _table(manifest.metadata["packers"]), "path": dg.MetadataValue.path(folder)}
            | {f"picture: {name}": picture for name, picture in pictures.items()}
            | counts_metadata(manifest.counts)
        )

    @dg.job(name=NAME, description="Simulate every packer on a stage's tokens; table and picture in the run.")
    def job() -> None:
        simulate()

    return job


def _table(packers: Mapping[str, Mapping[str, float]]) -> dg.MarkdownMetadataValue:
    """A row for each packer."""
    rows = [["packer", *COLUMNS.values()], ["---"] * (len(COLUMNS) + 1)]
    for name, figures in packers.items():
        rows.append([name.replace("_", " "), *(f"{figures[column]:.4g}" for column in COLUMNS)])
    return dg.MetadataValue.md("\n".join(f"| {' | '.join(row)} |" for row in rows))
