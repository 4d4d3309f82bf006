"""`nextscale trace`: where a record went and where a sample, a pack or a checkpoint comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from assets.lineage.trace import Trace

_WIDEST = 10_000
"""Columns: what is longer than a terminal is wide goes on in its next line."""


def trace(
    what: Annotated[
        str,
        typer.Argument(
            help="A sample's id (16 hex digits, or the first 6 or more), a record of a source "
            "(`<uri>#<member>`, a file's path, or its name alone), a pack (`packs/<stage>#<number>`) or a "
            "checkpoint (`training/<stage>`).",
            metavar="ID",
        ),
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """From a record to the checkpoints that saw it, and back.

    Of a sample or a record: what every stage decided about it and why, the documents made of it in every
    family, their tokens, the packs that hold them, and the checkpoints that were trained on these packs or
    start from one that was. Of a pack: its documents and where they come from. Of a checkpoint: the packs it
    read, and the checkpoints before and after.

    Reads only what stages published for the home's recipe; stages that are not made yet are absent.

    Examples:

    - `nextscale trace 4f0c2a`: a sample by the beginning of its id
    - `nextscale trace ./holiday/beach.jpg`: a file of your own; why was it rejected?
    - `nextscale trace packs/pretrain_256#12`: what a pack holds
    - `nextscale trace training/pretrain_256`: what a checkpoint was trained on
    - `nextscale trace 4f0c2a --json | jq '.documents[].packs'`: for programs
    """
    from assets.lineage.forget import checkpoints_before
    from assets.lineage.home import finished
    from assets.lineage.trace import trace as follow
    from assets.locate import all_places, current_drops
    from pipelines.cli.lineage_json import to_json
    from pipelines.cli.workspace import resume

    workspace = resume(home)
    project = workspace.project()
    with workspace.open_instance() as instance:
        outputs = finished(all_places(project, current_drops(instance)))
    found = follow(outputs, project.recipe, what)
    forgotten = checkpoints_before(project)
    if as_json:
        print(json.dumps({"home": project.home} | to_json(found, forgotten)))
        return
    show(found, forgotten)


def show(found: Trace, forgotten: Mapping[str, Sequence[str]]) -> None:
    """Print a trace; lines are never broken, for they hold paths."""
    from pipelines.cli.console import make_console
    from pipelines.cli.lineage_tree import to_trees

    console = make_console()
    console.width = _WIDEST
    for tree in to_trees(found, forgotten):
        console.print(tree)
