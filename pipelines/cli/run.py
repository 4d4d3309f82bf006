"""`nextscale run`: make what a recipe says, as far as asked."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from pipelines.cli.options import HomeOption, JsonOption, SetOption


def run(
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="A YAML file, or the name of a shipped recipe: `demo`, `folder`. Default: the home's own.",
            metavar="RECIPE",
        ),
    ] = None,
    settings: SetOption = None,
    select: Annotated[
        str | None,
        typer.Option(
            "--select",
            help="Stop there: make only these assets and what they need. A key (`t2i/captioned`), a pattern "
            "(`packs/*`), a group (`group:curation_t2i`), several with commas; `key+` adds all downstream.",
            metavar="SELECTION",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make what a recipe says; what is there already is not made again.

    The recipe becomes the home's own: `up`, `status` and `generate` use it from then on.

    Examples:

    - `nextscale run --recipe folder --set sources.t2i.uri=./holiday`
    - `nextscale run --recipe my.yaml --select group:curation_t2i --home s3://bucket/project`
    - `nextscale run --set stages.pretrain_256.steps=500`
    """
    from infra.errors import UserError
    from pipelines.cli.console import make_console
    from pipelines.cli.execute import execute
    from pipelines.cli.tables import stage_table
    from pipelines.cli.workspace import begin_or_resume

    workspace = begin_or_resume(home, recipe, settings)
    outcome = execute(workspace, select)
    if as_json:
        print(json.dumps({"home": workspace.home, "recipe": workspace.recipe.name} | outcome.to_json()))
    else:
        make_console().print(stage_table(outcome.results))
        print("nothing to do: all of it is there already" if outcome.all_reused else "done")
    if outcome.broken:
        raise UserError("; ".join(outcome.broken), workspace.home, "This is a defect: please report it")
