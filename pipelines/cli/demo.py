"""`nextscale demo`: the whole way once, on pictures drawn here; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.cli.options import HomeOption, SetOption

if TYPE_CHECKING:
    from pipelines.cli.execute import Outcome

SINGLE_OBJECT = "single_object"


def demo(home: HomeOption = None, settings: SetOption = None) -> None:
    """From pictures with captions to pictures of a trained model, in minutes on two cores.

    Draws 64x64 scenes of coloured shapes with captions; curates them; trains an image tokenizer;
    extracts tokens; packs them; trains a transformer in two stages; samples fixed prompts and scores
    the pictures from their pixels. Killed at any moment, the same command continues. A second run
    makes nothing anew and says so.
    """
    from infra.errors import UserError
    from pipelines.cli.console import make_console
    from pipelines.cli.execute import execute
    from pipelines.cli.tables import stage_table
    from pipelines.cli.workspace import begin

    workspace = begin(home, "demo", settings)
    outcome = execute(workspace)
    make_console().print(stage_table(outcome.results))
    for line in (*_accounts(outcome), *_scores(outcome), *_next_steps(workspace.home)):
        print(line)
    if outcome.broken:
        raise UserError("; ".join(outcome.broken), workspace.home, "This is a defect: please report it")


def _accounts(outcome: Outcome) -> Iterator[str]:
    yield ""
    if not outcome.broken:
        yield "conserved: every record is kept, rejected for a reason or errored, from stage to stage"
    if outcome.all_reused:
        yield "recomputed: nothing; all of it was there already"


def _scores(outcome: Outcome) -> Iterator[str]:
    """What the model learnt, from the evaluation's own figures, and where to see it."""
    from infra.manifest import read_manifest

    for result in outcome.evaluations:
        yield from _accuracy(result.asset, read_manifest(result.folder).metadata)
        for uri in outcome.pictures.get(result.asset, []):
            yield f"picture: {uri}"


def _accuracy(asset: str, figures: dict[str, Any]) -> Iterator[str]:
    accuracy, chance = figures.get("accuracy", {}), figures.get("chance", {})
    if SINGLE_OBJECT in accuracy:
        times = accuracy[SINGLE_OBJECT] / chance[SINGLE_OBJECT]
        yield (
            f"{asset}: single-object accuracy {accuracy[SINGLE_OBJECT]:.1%}, "
            f"chance {chance[SINGLE_OBJECT]:.1%} ({times:.1f} times)"
        )


def _next_steps(home: str) -> Iterator[str]:
    yield ""
    yield f"next: nextscale up --home {home}"
    yield f'      nextscale generate "a red circle on a white background" --home {home} -o out.png'
