"""`nextscale evaluate-tokenizer`: how close a tokenizer's reconstructions are to pictures of yours."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UserError
from pipelines.cli.options import HomeOption, JsonOption
from pipelines.cli.output_file import require_writable

if TYPE_CHECKING:
    from rich.table import Table
    from torch import nn

    from jobs.tokenizer.folder import FolderQuality
    from jobs.tokenizer.perceptual import Lpips
    from model.scales import ScaleSchedule
    from model.tokenizer import ImageTokenizer

TOKENIZER = "tokenizer/decoder"
DEFAULT_SIZE = 256
RFID_PICTURES = 5000
"""Fewer make rFID a figure to be careful with; published ones are of 50,000."""

Qualities = dict[int, "FolderQuality"]


def evaluate_tokenizer(
    pictures: Annotated[
        Path, typer.Argument(help="A folder of pictures, and of folders.", metavar="PICTURES")
    ],
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="A folder with `config.json` and `model.safetensors`: an imported tokenizer, or the `model` "
            f"folder of one trained here. Default: the home's `{TOKENIZER}`.",
            metavar="FOLDER",
        ),
    ] = None,
    home: HomeOption = None,
    size: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Pixels per side of a square picture; others get about as many in all. Repeatable. "
            "Default: what the home's tokenizer was trained on, else 256.",
        ),
    ] = None,
    square: Annotated[
        bool, typer.Option("--square", help="Crop all pictures to squares, whatever their shape.")
    ] = False,
    lpips: Annotated[bool, typer.Option("--lpips", help="Measure LPIPS, which needs VGG-16.")] = False,
    vgg16: Annotated[
        str | None,
        typer.Option(
            help="Of --lpips: torchvision's `vgg16-397923af.pth`. Default: torch's cache, or a download.",
            metavar="FILE",
        ),
    ] = None,
    rfid: Annotated[bool, typer.Option("--rfid", help="Measure rFID, which needs Inception.")] = False,
    inception: Annotated[
        str | None,
        typer.Option(
            help="Of --rfid: torch-fidelity's `weights-inception-2015-12-05-6726825d.pth`. "
            "Default: torch's cache, or a download.",
            metavar="FILE",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="PNG to write: pictures above their reconstructions.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure an image tokenizer on pictures: what is lost between a picture and its reconstruction.

    Each picture is scaled and cropped to the tokenizer's nearest aspect ratio at each size, turned into
    token indices and back, and compared as 8-bit pixels:

    - PSNR, decibels, and SSIM, at most 1: higher is closer, pixel by pixel
    - LPIPS, from 0: lower is closer to the eye
    - rFID, from 0: lower is closer as a set; compare only figures of equally many pictures, thousands
    - codebook use: the share of the codes that occur

    Examples:

    - `nextscale evaluate-tokenizer holiday/`: the tokenizer that a run trained
    - `nextscale evaluate-tokenizer holiday/ --tokenizer tokenflow/ --size 256 -o holiday.png`
    - `nextscale evaluate-tokenizer val/ --size 256 --size 512 --lpips --rfid --json`
    """
    if out is not None:
        require_writable(out, ".png")
    judges = _Judges(lpips or vgg16 is not None, vgg16, rfid or inception is not None, inception)
    qualities = _measure(pictures, tokenizer, home, size, square, judges)
    if out is not None:
        from jobs.tokenizer.folder import sheet

        sheet(qualities).save(out)
    _print(qualities, as_json)


@dataclass(frozen=True)
class _Judges:
    """Which networks judge the pictures, and the files of their weights."""

    lpips: bool
    vgg16: str | None
    rfid: bool
    inception: str | None

    def load(self, device: str) -> tuple[Lpips | None, nn.Module | None]:
        from jobs.tokenizer.metrics import load_inception
        from jobs.tokenizer.perceptual import Lpips

        lpips, inception = None, None
        if self.lpips:
            mend = "Name torchvision's vgg16-397923af.pth with --vgg16, or leave --lpips out"
            lpips = Lpips.load(self.vgg16, "--lpips", mend).to(device)
        if self.rfid:
            mend = "Name torch-fidelity's Inception weights with --inception, or leave --rfid out"
            inception = load_inception(self.inception, "--rfid", mend).to(device)
        return lpips, inception


def _measure(
    pictures: Path,
    folder: Path | None,
    home: str | None,
    sizes: list[int] | None,
    square: bool,
    judges: _Judges,
) -> Qualities:
    """The figures at each size; torch is loaded here and not before."""
    if not pictures.is_dir():
        raise UserError("no such folder", str(pictures), "Give a folder of pictures")
    import torch

    from jobs.tokenizer.folder import find_files, measure_folder, schedules_of_size, size_of
    from jobs.tokenizer.metrics import ReconstructionMetrics
    from model.scales import nearest
    from pipelines.cli.console import make_view

    files = find_files(pictures)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer, trained = _from_home(home) if folder is None else _from_folder(folder)
    tokenizer.to(device)
    wanted = sizes or [size_of(trained) if trained else DEFAULT_SIZE]
    schedules = {size: schedules_of_size(tokenizer.config, size, trained) for size in wanted}
    if square:
        schedules = {size: (nearest(found, 1, 1),) for size, found in schedules.items()}
    lpips, inception = judges.load(device)
    with make_view() as view:
        report = view.watch("evaluate-tokenizer", None)
        if judges.rfid and len(files) < RFID_PICTURES:
            report.log(f"rFID of {len(files)} pictures is biased upwards; published figures are of 50,000")
        return measure_folder(
            tokenizer,
            files,
            schedules,
            lambda: ReconstructionMetrics(tokenizer.config.codebook_size, lpips, inception),
            lambda done, total: report.progress(done, total, "pictures"),
        )


def _from_folder(folder: Path) -> tuple[ImageTokenizer, tuple[ScaleSchedule, ...]]:
    from jobs.tokenizer.folder import load_folder

    return load_folder(folder), ()


def _from_home(home: str | None) -> tuple[ImageTokenizer, tuple[ScaleSchedule, ...]]:
    """The home's latest tokenizer, and the schedules of the level it was trained on.

    Raises:
        UserError: the home has none for its recipe.
    """
    from assets.locate import all_places, current_drops
    from jobs.models import load_tokenizer
    from pipelines.cli.workspace import resume

    workspace = resume(home)
    with workspace.open_instance() as instance:
        places = all_places(workspace.project(), current_drops(instance))
    finished = [place for place in places if place.asset.key == TOKENIZER and place.manifest]
    if not finished:
        mend = f"Train it with: nextscale run --home {workspace.home} --select {TOKENIZER}"
        raise UserError("there is no trained tokenizer for its recipe", workspace.home, mend)
    level = workspace.recipe.levels[workspace.recipe.tokenizer.level]
    return load_tokenizer(finished[-1].folder), level.schedules()


def _print(qualities: Qualities, as_json: bool) -> None:
    from pipelines.cli.console import make_console

    if as_json:
        print(json.dumps({"sizes": {str(size): _to_json(quality) for size, quality in qualities.items()}}))
        return
    make_console().print(_table(qualities))
    unreadable = next(iter(qualities.values())).unreadable
    for reason, count in sorted(unreadable.items()):
        print(f"passed over: {count:,} {reason}")


def _to_json(quality: FolderQuality) -> dict[str, Any]:
    return dataclasses.asdict(quality.figures) | {"unreadable": quality.unreadable}


def _table(qualities: Qualities) -> Table:
    from pipelines.cli.tables import start_table

    columns = ("size", "pictures", "PSNR dB", "SSIM", "LPIPS", "rFID", "codebook use", "perplexity")
    table = start_table((), columns)
    for size, quality in qualities.items():
        figures = quality.figures
        cells = [f"{size}", f"{figures.pictures:,}", f"{figures.psnr:.2f}"]
        cells += [_number(figures.ssim, 4), _number(figures.lpips, 4), _number(figures.rfid, 2)]
        table.add_row(*cells, f"{figures.codebook_use:.1%}", f"{figures.perplexity:,.1f}")
    return table


def _number(value: float | None, digits: int) -> str:
    """A figure, or nothing where it was not measured."""
    return "" if value is None else f"{value:.{digits}f}"
