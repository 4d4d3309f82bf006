"""`nextscale status`: what a home holds, read from its manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from assets.plan import StageStatus


@dataclass(frozen=True)
class Row:
    """An asset's partition: its state, and what is published of it."""

    status: StageStatus
    files: int
    bytes: int
    pictures: list[str]

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        counts = self.status.counts
        return {
            "asset": self.status.asset,
            "partition": self.status.partition,
            "state": self.status.state,
            "folder": self.status.folder,
            "counts": counts.model_dump() if counts else None,
            "files": self.files,
            "bytes": self.bytes,
            "pictures": self.pictures,
        }


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Counts per asset and partition, what is fresh, stale or missing, and the latest pictures.

    `fresh` is what the recipe and the inputs say now; `stale` was made of others; `missing` never was.
    Reads only: sources are not looked at and nothing is made.
    """
    from assets.plan import statuses
    from pipelines.cli.console import make_console
    from pipelines.cli.workspace import resume

    workspace = resume(home)
    with workspace.open_instance() as instance:
        rows = [_row(s) for s in statuses(workspace.project(), instance)]
    if as_json:
        body = {
            "home": workspace.home,
            "recipe": workspace.recipe.name,
            "assets": [r.to_json() for r in rows],
        }
        print(json.dumps(body))
        return
    print(f"{workspace.home}: recipe {workspace.recipe.name}")
    make_console().print(_table(rows))
    for line in _pictures(rows):
        print(line)


def _row(status: StageStatus) -> Row:
    from infra.manifest import Output, find_manifest

    manifest = find_manifest(status.folder) if status.folder else None
    files = manifest.files if manifest else ()
    pictures = Output(status.folder).pictures().values() if status.folder else ()
    return Row(status, len(files), sum(f.bytes for f in files), sorted(pictures))


def _table(rows: list[Row]) -> Table:
    from pipelines.cli.tables import COUNTS, count_cells, start_table

    table = start_table(("asset", "partition", "state"), (*COUNTS, "files", "bytes"))
    for r in rows:
        size = [f"{r.files:,}", f"{r.bytes:,}"] if r.status.counts else ["", ""]
        name = (r.status.asset, r.status.partition or "", r.status.state)
        table.add_row(*name, *count_cells(r.status.counts), *size)
    return table


def _pictures(rows: list[Row]) -> Iterator[str]:
    """The pictures of the last asset of each group of names, for those are what people want to see."""
    latest = {row.status.asset: row for row in rows if row.pictures}
    for asset, row in latest.items():
        for uri in row.pictures:
            yield f"{asset}: {uri}"
