"""`nextscale generate`: pictures from the trained model of a home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UserError
from pipelines.cli.options import HomeOption

if TYPE_CHECKING:
    from assets.locate import Place
    from jobs.recipe import Sampling
    from pipelines.cli.workspace import Workspace

TRAINING = "training/"
INDICES = "tokenizer/joint"
"""What the transformer was trained on."""
PICTURES = "tokenizer/decoder"
"""The same indices, drawn better."""


RECIPES = "Default: the recipe's."


def generate(
    prompts: Annotated[
        list[str] | None, typer.Argument(help="One or more prompts, each in quotes.", metavar="PROMPT...")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="PNG to write: a row of pictures per prompt.")
    ] = Path("out.png"),
    home: HomeOption = None,
    prompt_file: Annotated[
        Path | None, typer.Option("--prompts", help="A text file with one more prompt on each line.")
    ] = None,
    samples: Annotated[int, typer.Option("--n", min=1, max=64, help="Pictures per prompt.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0,
    stage: Annotated[
        str | None, typer.Option(help="Training stage whose model is used. Default: the last trained one.")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0, help=f"How much the prompt counts; 1 is not guided. {RECIPES}")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0.01, help=f"Below 1 safer, above more varied. {RECIPES}")
    ] = None,
    final_temperature: Annotated[
        float | None,
        typer.Option(min=0.01, help=f"Of the finest scale; the coarsest's by default. {RECIPES}"),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=0, help=f"Choose among this many codes; 0 is all. {RECIPES}")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(min=0.01, max=1, help=f"Choose among this share. {RECIPES}")
    ] = None,
) -> None:
    """Make pictures from text with the model that a run trained.

    Examples:

    - `nextscale generate "a red circle" -o circle.png`
    - `nextscale generate "a red circle" "two blue stars" --n 8 --seed 7 --guidance 3`
    """
    from pipelines.cli.workspace import resume

    texts = _texts(prompts or [], prompt_file)
    _require_writable(out)
    workspace = resume(home)
    place = _trained(workspace, stage)
    changes = {
        "guidance": guidance,
        "temperature": temperature,
        "final_temperature": final_temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    sampling = _sampling(workspace.recipe.evaluation.sampling, changes)
    _write(workspace, place, texts, samples, seed, sampling, out)
    print(out)


def _texts(prompts: list[str], file: Path | None) -> list[str]:
    if file is not None:
        try:
            prompts = prompts + file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the prompts ({error})", str(file), "Check the path") from error
    texts = [text.strip() for text in prompts if text.strip()]
    if not texts:
        raise UserError("there is no prompt", "generate", 'For example: nextscale generate "a red circle"')
    return texts


def _require_writable(out: Path) -> None:
    """Better to say so before minutes of work."""
    if out.suffix.lower() != ".png":
        raise UserError("the picture is written as PNG", str(out), "Give a name that ends in .png")
    if not out.absolute().parent.is_dir():
        raise UserError("no such folder", str(out.absolute().parent), "Make it, or choose another --out")


def _trained(workspace: Workspace, stage: str | None) -> Place:
    """The finished training of a stage, or of the last stage that is finished."""
    from assets.locate import all_places, current_drops

    stages = list(workspace.recipe.stages)
    if stage is not None and stage not in stages:
        raise UserError(f"no stage {stage!r}", "--stage", f"Stages: {', '.join(stages)}")
    with workspace.open_instance() as instance:
        places = all_places(workspace.project(), current_drops(instance))
    wanted = {f"{TRAINING}{name}" for name in ([stage] if stage else stages)}
    finished = [place for place in places if place.asset.key in wanted and place.manifest]
    if not finished:
        select = f" --select {TRAINING}{stage}" if stage else ""
        mend = f"Train it with: nextscale run --home {workspace.home}{select}"
        raise UserError("there is no trained model for its recipe", workspace.home, mend)
    return finished[-1]


def _tokenizer(workspace: Workspace, training: Place) -> str:
    """The folder of the tokenizer that draws: the one with the larger decoder, where that is finished."""
    from assets.locate import all_places, current_drops

    with workspace.open_instance() as instance:
        places = all_places(workspace.project(), current_drops(instance))
    (joint,) = training.inputs[INDICES]
    finished = [place for place in places if place.asset.key == PICTURES and place.manifest]
    drawing = [place.folder for place in finished if place.inputs[INDICES] == [joint]]
    return drawing[0] if drawing else joint


def _sampling(recipe: Sampling, changes: dict[str, float | None]) -> Sampling:
    return recipe.model_copy(update={name: value for name, value in changes.items() if value is not None})


def _write(
    workspace: Workspace,
    place: Place,
    texts: list[str],
    samples: int,
    seed: int,
    sampling: Sampling,
    out: Path,
) -> None:
    """Sample and write the sheet; torch is loaded here and not before."""
    from jobs.generate import generate as sample
    from pipelines.cli.console import make_view

    stage = place.asset.key.removeprefix(TRAINING)
    level = workspace.recipe.levels[workspace.recipe.stages[stage].level]
    tokenizer = _tokenizer(workspace, place)
    with make_view() as view:
        report = view.watch(f"generate {stage}", None)
        png = sample(
            place.folder,
            tokenizer,
            level,
            texts,
            text_tokenizer=workspace.recipe.model.text_tokenizer,
            samples=samples,
            seed=seed,
            sampling=sampling,
            progress=lambda done, total: report.progress(done, total, "scales"),
        )
    out.write_bytes(png)
