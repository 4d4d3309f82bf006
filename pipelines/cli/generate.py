"""`nextscale generate`: pictures and text from the trained model of a home."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UserError
from pipelines.cli.modes import Mode, choose_mode, watch_writing
from pipelines.cli.options import HomeOption
from pipelines.cli.output_file import require_writable

if TYPE_CHECKING:
    from assets.locate import Place
    from jobs.generate import Ask
    from jobs.recipe import Level, Sampling
    from jobs.written import Generation
    from pipelines.cli.workspace import Workspace

TRAINING = "training/"
INDICES = "tokenizer/joint"
"""What the transformer was trained on."""
PICTURES = "tokenizer/decoder"
"""The same indices, drawn better."""
RECIPES = "Default: the recipe's."
MAX_IMAGE_BYTES = 50_000_000


def generate(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(
            help="One or more prompts, each in quotes. `<image>` is where an --image stands.",
            metavar="PROMPT...",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="What to write: out.png, a row of pictures per prompt; out.md for --interleaved.",
        ),
    ] = None,
    home: HomeOption = None,
    prompt_file: Annotated[
        Path | None, typer.Option("--prompts", help="A text file with one more prompt on each line.")
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            "--image", "-i", help="A picture to read: to edit, to describe, as an example. Repeats."
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Write text instead of a picture.")] = False,
    think: Annotated[bool, typer.Option("--think", help="Write text first, then the picture.")] = False,
    interleaved: Annotated[
        bool, typer.Option("--interleaved", help="Write text and pictures until the model ends.")
    ] = False,
    samples: Annotated[
        int | None,
        typer.Option("--n", min=1, max=64, help="How many per prompt. Default: 4 pictures, 1 of the rest."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0,
    aspect: Annotated[
        str | None,
        typer.Option(
            metavar="W:H",
            help="Of the pictures; the level's nearest is taken. Default: the last --image's, else 1:1.",
        ),
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="Resolution level of the recipe. Default: the stage's.")
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Training stage whose model is used. Default: the last trained one.")
    ] = None,
    max_text: Annotated[int, typer.Option(min=1, help="Text tokens at most.")] = 256,
    max_images: Annotated[int, typer.Option(min=1, help="Pictures at most, for --interleaved.")] = 4,
    guidance: Annotated[
        float | None, typer.Option(min=0, help=f"How much the prompt counts; 1 is not guided. {RECIPES}")
    ] = None,
    image_guidance: Annotated[
        float | None,
        typer.Option(min=0, help=f"How much --image counts; as much as the prompt if left out. {RECIPES}"),
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
    """Make pictures and text with the model that a run trained.

    Examples:

    - `nextscale generate "a red circle" -o circle.png`
    - `nextscale generate "a red circle" "two blue stars" --n 8 --seed 7 --guidance 3 --aspect 16:9`
    - `nextscale generate "make it blue" --image circle.png -o blue.png`: an edit
    - `nextscale generate --text --image circle.png`: what is to be seen?
    - `nextscale generate "<image> is to <image> as <image> is to" -i a.png -i b.png -i c.png`: by example
    - `nextscale generate --think "what a cat dreams of"`: text first, then the picture
    - `nextscale generate --interleaved "a story in pictures" -o story.md`
    """
    from pipelines.cli.workspace import resume

    mode = choose_mode(text=text, think=think, interleaved=interleaved)
    texts = _texts(prompts or [], prompt_file, needed=not images)
    suffix = ".md" if mode is Mode.interleaved else ".png"
    out = out or Path(f"out{suffix}")
    if mode is not Mode.text:
        require_writable(out, suffix)
    workspace = resume(home)
    place = _trained(workspace, stage)
    changes = {
        "guidance": guidance,
        "image_guidance": image_guidance,
        "temperature": temperature,
        "final_temperature": final_temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    sampling = _sampling(workspace.recipe.evaluation.sampling, changes)
    asks = _asks(texts, images or [], mode, max_text, max_images)
    chosen = _level(workspace, place, level)
    shape = _shape(aspect, asks[0], chosen)
    count = samples or (4 if mode is Mode.picture else 1)
    generation = _generate(workspace, place, asks, chosen, shape, count, seed, sampling)
    _write(generation, mode, out)


def _texts(prompts: list[str], file: Path | None, *, needed: bool) -> list[str]:
    if file is not None:
        try:
            prompts = prompts + file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the prompts ({error})", str(file), "Check the path") from error
    texts = [text.strip() for text in prompts if text.strip()]
    if not texts and not needed:
        return [""]
    if not texts:
        raise UserError("there is no prompt", "generate", 'For example: nextscale generate "a red circle"')
    return texts


def _asks(texts: list[str], images: list[Path], mode: Mode, max_text: int, max_images: int) -> list[Ask]:
    """A prompt each, all with the same pictures."""
    from jobs.generate import Ask
    from jobs.images import DecodeError, decode

    pictures = []
    for path in images:
        try:
            if path.stat().st_size > MAX_IMAGE_BYTES:
                raise UserError(f"over {MAX_IMAGE_BYTES:,} bytes", str(path), "Make the picture smaller")
            pictures.append(decode(path.read_bytes()))
        except OSError as error:
            raise UserError(f"cannot read the picture ({error.strerror})", str(path), "Check it") from error
        except DecodeError as error:
            raise UserError(
                f"not a picture that can be used: {error.detail}", str(path), "Check it"
            ) from error
    return [Ask(text, tuple(pictures), mode.value, max_text, max_images) for text in texts]


def _level(workspace: Workspace, place: Place, name: str | None) -> Level:
    """The level of that name, or that of the stage."""
    levels = workspace.recipe.levels
    if name is not None and name not in levels:
        raise UserError(f"no level {name!r}", "--level", f"Levels: {', '.join(levels)}")
    return levels[name or workspace.recipe.stages[place.asset.key.removeprefix(TRAINING)].level]


def _shape(aspect: str | None, ask: Ask, level: Level) -> tuple[int, int]:
    """Width and height to make pictures like; says so where the level's nearest is another."""
    from model.scales import nearest

    if aspect is None:
        return ask.images[-1].size if ask.images else (1, 1)
    found = re.fullmatch(r"([1-9][0-9]{0,4})[:x]([1-9][0-9]{0,4})", aspect)
    if found is None:
        raise UserError(f"no aspect ratio {aspect!r}", "--aspect", "Write width:height, such as 16:9")
    width, height = int(found[1]), int(found[2])
    schedule = nearest(level.schedules(), width, height)
    if width * schedule.height != height * schedule.width:
        size = f"{schedule.width}x{schedule.height}"
        print(f"aspect {aspect}: the level's nearest is {size} pixels", file=sys.stderr)
    return width, height


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


def _generate(
    workspace: Workspace,
    place: Place,
    asks: list[Ask],
    level: Level,
    aspect: tuple[int, int],
    samples: int,
    seed: int,
    sampling: Sampling,
) -> Generation:
    """Load the models and sample; torch is loaded here and not before."""
    from jobs.generate import generate as sample
    from pipelines.cli.console import make_view

    tokenizer = _tokenizer(workspace, place)
    with make_view() as view:
        name = f"generate {place.asset.key.removeprefix(TRAINING)}"
        return sample(
            place.folder,
            tokenizer,
            level,
            asks,
            text_tokenizer=workspace.recipe.model.text_tokenizer,
            samples=samples,
            seed=seed,
            sampling=sampling,
            aspect=aspect,
            progress=watch_writing(view, name, Mode(asks[0].mode)),
        )


def _write(generation: Generation, mode: Mode, out: Path) -> None:
    """Print the text, write the files and print the name of the first."""
    from infra.storage import publish_bytes
    from jobs.written import markdown_files, sheet_png, texts

    if mode in (Mode.text, Mode.think):
        for samples in generation.written:
            for written in samples:
                print(" ".join(texts(written)))
    if mode is Mode.text:
        return
    if mode is Mode.interleaved:
        for name, content in markdown_files(generation, out.stem).items():
            publish_bytes(str(out.with_name(name)), content)
    else:
        publish_bytes(str(out), sheet_png(generation))
    print(out)
