"""`nextscale forget`: no pack holds these documents any more, nor any pack that is made later."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
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
    waiting: Mapping[str, str]
    """Stages whose tokens are not up to date, and why."""
    failed: Mapping[str, Exception]
    """Stages that could not be packed anew, and why."""


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

    Nothing is trained: checkpoints that saw the documents are named. What curation and extraction made of
    the records stays in their outputs, which are named, too. Killed at any moment, the same command
    continues. Where a stage cannot be packed anew, its old packs are removed all the same; the command says
    why, and ends with 1.

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
        entries = to_forget(workspace.home, plan)
        if not as_json:
            _show(plan, entries)
        if dry_run or not (yes or _agreed(as_json)):
            if as_json:
                print(json.dumps(_to_json(workspace, plan, entries, None)))
            return
        done = _forget(workspace, instance, entries)
    if as_json:
        print(json.dumps(_to_json(workspace, plan, entries, done)))
    else:
        _say(done, workspace, entries)
    _require_packed(done)


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
    made, waiting, failed = _pack_anew(workspace, instance)
    project = workspace.project()
    removed = superseded_packs(project, all_places(project, current_drops(instance)))
    for folder in removed:
        remove_packs(folder)
    return Done(new, made, removed, waiting, failed)


def _pack_anew(
    workspace: Workspace, instance: DagsterInstance
) -> tuple[list[StageResult], dict[str, str], dict[str, Exception]]:
    """Make the packs anew that were ever made; also which stages wait for their tokens, and which failed.

    Each stage for itself: none keeps another, or the removal of old packs, from being done.
    """
    from assets.lineage.forget import packed_stages
    from assets.locate import NotReadyError, current_drops
    from assets.plan import materialize_stale
    from pipelines.cli.console import make_view

    made: list[StageResult] = []
    waiting: dict[str, str] = {}
    failed: dict[str, Exception] = {}
    with make_view() as view:
        project = workspace.project(view.watch)
        for stage in packed_stages(project):
            try:
                for result in materialize_stale(project, instance, stage, drops=current_drops(instance)):
                    view.finish(result)
                    made.append(result)
            except NotReadyError as error:
                waiting[stage] = str(error)
            except Exception as error:
                failed[stage] = error
    return made, waiting, failed


def _require_packed(done: Done) -> None:
    """Fail where a stage could not be packed anew.

    Raises:
        UserError: names the stages; why is said before.
        Exception: a defect, as it was raised.
    """
    for error in done.failed.values():
        if not isinstance(error, UserError):
            raise error
    if done.failed:
        mend = "No pack holds the documents. Mend what is said above, then: nextscale run"
        raise UserError("could not be packed anew", ", ".join(done.failed), mend)


def _show(plan: RecordTrace, entries: Sequence[Forgotten]) -> None:
    """What is to be forgotten, where it is, and what saw it."""
    from assets.lineage.forget import kept_in

    for document in plan.documents:
        print(_line(document))
    records, documents = len(plan.records), len(plan.documents)
    packs = {
        (packed.folder, pack.number) for d in plan.documents for packed in d.packed for pack in packed.packs
    }
    print(f"records: {records:,}, documents made of them: {documents:,}, packs with these: {len(packs):,}")
    for folder in sorted({folder for entry in entries for folder in entry.checkpoints}):
        print(f"saw them: {folder}")
    for folder in kept_in(plan):
        print(f"also kept in: {folder}")


def _line(document: DocumentTrace) -> str:
    """A document, all packs that hold it, and its source."""
    fate = document.fate
    packs = [f"{packed.asset}#{pack.number}" for packed in document.packed for pack in packed.packs]
    family = fate.place.asset.key.partition("/")[0]
    return "  ".join([fate.sample_id, family, ", ".join(packs) or "in no pack", fate.row["source"]])


def _say(done: Done, workspace: Workspace, entries: Sequence[Forgotten]) -> None:
    """What was done, in words."""
    from assets.forgotten import LIST

    print(f"new on the list of what is forgotten: {done.new:,} ({workspace.home}/{LIST})")
    for folder in done.removed:
        print(f"removed: {folder}")
    for stage, why in done.waiting.items():
        print(f"{stage} waits for `nextscale run`, which makes it without the documents: {why}")
    for stage, error in done.failed.items():
        print(f"{stage} is not packed anew: {error}")
    if saw := {folder for entry in entries for folder in entry.checkpoints}:
        print(f"checkpoints that saw them: {len(saw):,}; `nextscale run` trains the recipe's anew")


def _to_json(
    workspace: Workspace, plan: RecordTrace, entries: Sequence[Forgotten], done: Done | None
) -> dict[str, Any]:
    """Everything, for programs."""
    from assets.lineage.forget import kept_in

    made = [f"{result.asset}" for result in done.made if not result.reused] if done else []
    return {
        "home": workspace.home,
        "documents": [entry.model_dump() for entry in entries],
        "kept_in": kept_in(plan),
        "forgotten": done is not None,
        "new": done.new if done else 0,
        "made": made,
        "removed": list(done.removed) if done else [],
        "waiting": dict(done.waiting) if done else {},
        "failed": {stage: str(error) for stage, error in done.failed.items()} if done else {},
    }
