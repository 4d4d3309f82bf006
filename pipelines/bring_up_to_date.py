"""The job `bring_up_to_date`: what `nextscale run` does, as one Dagster run that people and schedules start.

The run walks the assets in its own process; each group of assets that it makes is a run of its own.
No postponed annotations here: Dagster reads the types of a step's arguments when it is defined.
"""

from dataclasses import replace

import dagster as dg
from pydantic import Field

from assets.backlog import PACKS, find_backlog
from assets.locate import describe
from assets.plan import StageResult, materialize_stale
from assets.pools import CORES, GPU
from assets.project import Project
from assets.sources import report_drops
from pipelines.in_op import RunLog, failing_in_one_line

NAME = "bring_up_to_date"

ALONE = {"nextscale/alone": NAME}
"""Of the runs with this tag, Dagster's written settings let one go at a time."""


class BringUpToDate(dg.Config):
    """What to make."""

    selection: str = Field(
        default=PACKS,
        description="Assets to make where they are missing or stale: keys and patterns, separated by commas. "
        "A leading + adds all that they are made from, a trailing + all that is made from them. "
        f"`{PACKS}`: every stage's packs with all they need: curation, the image tokenizer's trainings, "
        "tokens. Others: `t2i/*`, `+tokens/edit`, `packs/pretrain_256`. What is fresh is not made again.",
    )


def bring_up_to_date(project: Project) -> dg.JobDefinition:
    """The job of a project."""

    # A run holds the pools of all its steps: with one step in each, no other heavy run goes beside it.
    @dg.op(pool=GPU, out=dg.Out(dg.Nothing), description="Find new drops and say what the packs lack.")
    def look(context: dg.OpExecutionContext) -> None:
        with failing_in_one_line():
            report_drops(project, context.instance)
        context.log.info(find_backlog(project, context.instance).words or "The packs lack nothing.")

    @dg.op(
        pool=CORES,
        ins={"seen": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        description="Make what is missing or stale, inputs first.",
    )
    def make(context: dg.OpExecutionContext, config: BringUpToDate) -> None:
        watched = replace(project, watch=lambda key, part: RunLog(context.log, describe(key, part)))
        results = []
        with failing_in_one_line():
            for result in materialize_stale(watched, context.instance, config.selection):
                context.log.info(_line(result))
                results.append(result)
        context.add_output_metadata(_metadata(results))

    @dg.job(
        name=NAME,
        tags=ALONE,
        description="Make what is missing or stale of a selection, by default all that packing needs.",
    )
    def job() -> None:
        make(look())

    return job


def run_config(selection: str) -> dg.RunConfig:
    """The job's configuration."""
    return dg.RunConfig(ops={"make": BringUpToDate(selection=selection)})


def _line(result: StageResult) -> str:
    how = "reused" if result.reused else f"{result.seconds:.1f} s"
    return f"{describe(result.asset, result.partition)}: {result.counts.describe()} ({how})"


def _metadata(results: list[StageResult]) -> dict[str, dg.MetadataValue]:
    """How much was made and how much was fresh, and a line for each output."""
    reused = sum(result.reused for result in results)
    lines = [f"- {_line(result)}" for result in results]
    return {
        "made": dg.MetadataValue.int(len(results) - reused),
        "reused": dg.MetadataValue.int(reused),
        "outputs": dg.MetadataValue.md("\n".join(lines)),
    }
