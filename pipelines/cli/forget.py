"""`nextscale forget`: no pack holds these documents any more, nor any pack that is made later."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UserError
from pipelines.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from assets.forgotten import Forgotten
    from assets.lineage.trace import DocumentTrace, RecordTrace
    from assets.plan import StageResult
    from pipelines.cli.workspace import Workspace


@dataclass(frozen=True)
class Done:
    """What forgetting did."""

    new: int
    made: Sequence[StageResult]
    removed: Sequence[str]
    waiting: str
    """Why packs could not be made anew; empty where they were."""


def forget(
    ids: Annotated[
        list[str],
        typer.Argument(
            help="Samples (16 hex digits, or the first 6 or more) or records of a source (`<uri>#<member>`, "
            "a file's path, or its name alone).",
            metavar="ID...",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be forgotten.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take out of all packs what was made of records of a source, and keep it out.

    Each id is followed to the records it comes from, and these to every document made of them, in all
    families: captions, questions, edits, pairs. They go on the home's list (`<home>/forgotten.json`), the
    packs that were made are made anew without them, and older packs that hold them are removed. All other
    packs stay as they are, byte by byte.

    Nothing is trained: checkpoints that saw the documents are named, and are stale from then on. The bytes
    stay in the source, in the curated tars and in the token files, which are named, too. Killed at any
    moment, the same command continues.

    Examples:

    - `nextscale forget 4f0c2a --dry-run`: what it would touch
    - `nextscale forget ./holiday/beach.jpg --yes`: a file of your own, without being asked
    - `nextscale forget 4f0c2a19b5d0e7c3 91e2...`: several at once; where one is unknown, none is forgotten
    """
    from assets.lineage.forget import to_forget
    from pipelines.cli.workspace import resume

    workspace = resume(home)
    with workspace.open_instance() as instance:
        plan = _plan(workspace, instance, ids)
        entries = to_forget(plan)
        if not as_json:
            _show(plan, entries)
        if dry_run or not (yes or _agreed(as_json)):
            if as_json:
                print(json.dumps(_to_json(workspace, entries, None)))
            return
        done = _forget(workspace, instance, entries)
    if as_json:
        print(json.dumps(_to_json(workspace, entries, done)))
        return
    _say(done, workspace, entries)


def _plan(workspace: Workspace, instance: DagsterInstance, ids: Sequence[str]) -> RecordTrace:
    from assets.lineage.forget import plan_forgetting
    from assets.lineage.home import finished
    from assets.locate import all_places, current_drops

    project = workspace.project()
    return plan_forgetting(finished(all_places(project, current_drops(instance))), project, ids)


def _agreed(as_json: bool) -> bool:
    """Whether somebody says yes.

    Raises:
        UserError: nobody can be asked.
    """
    if as_json or not sys.stdin.isatty():
        raise UserError("nobody is there to say yes", "forget", "Add --yes, or --dry-run to only look")
    return typer.confirm("Forget them, and make the packs anew?")


def _forget(workspace: Workspace, instance: DagsterInstance, entries: Sequence[Forgotten]) -> Done:
    """The list first: whatever happens after, no later pack holds the documents."""
    from assets.forgotten import add_forgotten
    from assets.lineage.forget import remove_packs, superseded_packs
    from assets.locate import all_places, current_drops

    new = add_forgotten(workspace.home, entries)
    made, waiting = _pack_anew(workspace, instance)
    project = workspace.project()
    removed = superseded_packs(project, all_places(project, current_drops(instance)))
    for folder in removed:
        remove_packs(folder)
    return Done(new, made, removed, waiting)


def _pack_anew(workspace: Workspace, instance: DagsterInstance) -> tuple[list[StageResult], str]:
    """Make the packs anew that were ever made; also why not, where their tokens are not up to date."""
    from assets.lineage.forget import packed_stages
    from assets.locate import NotReadyError, current_drops
    from assets.plan import materialize_stale
    from pipelines.cli.console import make_view

    with make_view() as view:
        project = workspace.project(view.watch)
        made: list[StageResult] = []
        if not (stages := packed_stages(project)):
            return made, ""
        try:
            for result in materialize_stale(
                project, instance, ",".join(stages), drops=current_drops(instance)
            ):
                view.finish(result)
                made.append(result)
        except NotReadyError as error:
            return made, str(error)
    return made, ""


def _show(plan: RecordTrace, entries: Sequence[Forgotten]) -> None:
    """What is to be forgotten, where it is, and what saw it."""
    for document in plan.documents:
        print(_line(document))
    records, documents = len(plan.records), len(plan.documents)
    packs = {
        (packed.folder, pack.number) for d in plan.documents for packed in d.packed for pack in packed.packs
    }
    print(f"records: {records:,}, documents made of them: {documents:,}, packs with these: {len(packs):,}")
    for folder in sorted({folder for entry in entries for folder in entry.checkpoints}):
        print(f"saw them: {folder}")
    for place in _bytes_of(plan):
        print(f"keeps their bytes: {place}")


def _line(document: DocumentTrace) -> str:
    """A document, all packs that hold it, and its source."""
    fate = document.fate
    packs = [f"{packed.asset}#{pack.number}" for packed in document.packed for pack in packed.packs]
    family = fate.place.asset.key.partition("/")[0]
    return "  ".join([fate.sample_id, family, ", ".join(packs) or "in no pack", fate.row["source"]])


def _bytes_of(plan: RecordTrace) -> list[str]:
    """Files beside the packs that hold the documents' content: curated tars, and tokens."""
    from infra import storage

    kept = {d.fate.place.folder for d in plan.documents if not d.tokens}
    for document in plan.documents:
        for row in document.tokens:
            kept.add(storage.join(document.fate.place.folder, row.tar))
            if row.file:
                kept.add(storage.join(row.folder, row.file))
    return sorted(kept)


def _say(done: Done, workspace: Workspace, entries: Sequence[Forgotten]) -> None:
    """What was done, in words."""
    from assets.forgotten import LIST

    print(f"new on the list of what is forgotten: {done.new:,} ({workspace.home}/{LIST})")
    for folder in done.removed:
        print(f"removed: {folder}")
    if done.waiting:
        print(f"packs wait for `nextscale run`, which makes them without the documents: {done.waiting}")
    if saw := {folder for entry in entries for folder in entry.checkpoints}:
        print(f"checkpoints that saw them: {len(saw):,}, stale from now on; `nextscale run` trains anew")


def _to_json(workspace: Workspace, entries: Sequence[Forgotten], done: Done | None) -> dict[str, Any]:
    """Everything, for programs."""
    made = [f"{result.asset}" for result in done.made if not result.reused] if done else []
    return {
        "home": workspace.home,
        "documents": [entry.model_dump() for entry in entries],
        "forgotten": done is not None,
        "new": done.new if done else 0,
        "made": made,
        "removed": list(done.removed) if done else [],
        "waiting": done.waiting if done else "",
    }
