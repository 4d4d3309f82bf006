"""Options that several commands share, with the help that goes with them."""

from __future__ import annotations

from typing import Annotated

import typer

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home",
        help="Folder, or `s3://bucket/prefix`, that keeps all that is made. "
        "Default: `$NEXTSCALE_HOME`, else `./.nextscale`.",
        metavar="HOME",
    ),
]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change one setting of the recipe, as `stages.alignment.steps=20`. Repeatable; values are YAML.",
        metavar="KEY=VALUE",
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
