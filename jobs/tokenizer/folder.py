"""A tokenizer measured on a folder of pictures, at the resolutions it is asked for.

Shapes: 1 picture, 3 channels, H W pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from safetensors import SafetensorError

from infra.errors import UserError
from jobs.images import DecodeError, decode, fit
from jobs.pictures.sheets import reconstruction_sheet
from jobs.sources import PICTURE_SUFFIXES
from jobs.tensors import to_images, to_tensor
from jobs.tokenizer.assess import SHOWN
from jobs.tokenizer.metrics import ALL, Figures, ReconstructionMetrics, reconstruct
from model.scales import TABLE_14_STEPS, ScaleSchedule, nearest, square, table14, tokenflow
from model.tokenizer import ImageTokenizer

if TYPE_CHECKING:
    from model.tokenizer import TokenizerConfig

TABLE_14_SCALES = {256: 12, 512: 16, 1024: 18}
"""Scales of Table 14's levels, by the side of their square pictures."""

TOKENFLOW = {"clip": (tokenflow(224), tokenflow(256)), "siglip": (tokenflow(384),)}
"""Schedules of TokenFlow's tokenizers, by their semantic encoder."""

LEAST_CELL, MOST_CELL = 128, 512
"""Pixels per side of a picture on the sheet."""

Pair = tuple[Image.Image, Image.Image]


@dataclass(frozen=True)
class FolderQuality:
    """What was measured at one size."""

    figures: Figures
    unreadable: dict[str, int]
    """Files that were passed over, by reason."""
    shown: list[Pair]
    """Some pictures, each with its reconstruction."""


def load_folder(folder: Path) -> ImageTokenizer:
    """The tokenizer of a folder with `config.json` and `model.safetensors`.

    Raises:
        UserError: the folder holds none.
    """
    try:
        return ImageTokenizer.from_pretrained(folder)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"no tokenizer can be loaded ({reason})",
            str(folder),
            "Give a folder with a tokenizer's config.json and model.safetensors",
        ) from error


def find_files(folder: Path) -> list[Path]:
    """The pictures in a folder and those below it, by name.

    Raises:
        UserError: there are none.
    """
    files = sorted(path for path in folder.rglob("*") if _is_picture(path))
    if not files:
        kinds = ", ".join(sorted(PICTURE_SUFFIXES))
        raise UserError("there are no pictures", str(folder), f"Known are {kinds}")
    return files


def schedules_of_size(
    config: TokenizerConfig, size: int, trained: Sequence[ScaleSchedule] = ()
) -> tuple[ScaleSchedule, ...]:
    """The schedules of a tokenizer whose square picture has `size` pixels per side.

    They are those it was trained on, `trained`, where these are of that size, and TokenFlow's for its
    tokenizers. Others take Table 14's rows where it has a level of that size in cells of 16 pixels, and
    elsewhere a square with the table's sides.

    Raises:
        UserError: the tokenizer has none of this size.
    """
    if trained and size_of(trained) == size:
        return tuple(trained)
    if config.vision in TOKENFLOW:
        by_size = {schedule.width: schedule for schedule in TOKENFLOW[config.vision]}
        if size not in by_size:
            raise _no_schedule(size, f"Give one of {sorted(by_size)}")
        return (by_size[size],)
    if size % config.stride:
        raise _no_schedule(size, f"Give a multiple of {config.stride}")
    if config.stride == 16 and size in TABLE_14_SCALES:
        return table14(TABLE_14_SCALES[size], config.stride)
    final = size // config.stride
    return (square([*(side for side in TABLE_14_STEPS if side < final), final], config.stride),)


def size_of(schedules: Sequence[ScaleSchedule]) -> int:
    """Pixels per side of the square picture of a level's schedules."""
    return nearest(schedules, 1, 1).width


def measure_folder(
    tokenizer: ImageTokenizer,
    files: Sequence[Path],
    sizes: Mapping[int, Sequence[ScaleSchedule]],
    make_metrics: Callable[[], ReconstructionMetrics],
    progress: Callable[[int, int], None],
) -> dict[int, FolderQuality]:
    """Measure on the same files at each size; `progress` is told (done, total) over all sizes.

    Raises:
        UserError: not one of the files can be decoded.
    """
    qualities = {}
    for number, (size, schedules) in enumerate(sizes.items()):
        tell = _offset(progress, number * len(files), len(sizes) * len(files))
        qualities[size] = _measure(tokenizer, files, schedules, make_metrics(), tell)
    return qualities


def sheet(qualities: Mapping[int, FolderQuality]) -> Image.Image:
    """The pictures shown, and below them their reconstructions at each size."""
    largest = max(qualities)
    originals = [original for original, _ in qualities[largest].shown]
    rows = {f"{size} pixels": [decoded for _, decoded in q.shown] for size, q in qualities.items()}
    return reconstruction_sheet(originals, rows, cell=min(max(largest, LEAST_CELL), MOST_CELL))


def _no_schedule(size: int, mend: str) -> UserError:
    return UserError(f"the tokenizer has no schedule of {size}x{size} pixels", "--size", mend)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower().removeprefix(".") in PICTURE_SUFFIXES and path.is_file()


def _offset(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total)


def _decode(file: Path) -> Image.Image:
    try:
        return decode(file.read_bytes())
    except OSError as error:
        raise DecodeError("unreadable", str(error)) from error


def _measure(
    tokenizer: ImageTokenizer,
    files: Sequence[Path],
    schedules: Sequence[ScaleSchedule],
    metrics: ReconstructionMetrics,
    tell: Callable[[int], None],
) -> FolderQuality:
    """Reconstruct each picture, scaled and cropped to the schedule nearest to its shape, one at a time."""
    unreadable: Counter[str] = Counter()
    shown: list[Pair] = []
    for number, file in enumerate(files, start=1):
        try:
            picture = _decode(file)
        except DecodeError as error:
            unreadable[error.reason] += 1
        else:
            pair = _reconstruct(tokenizer, picture, schedules, metrics)
            shown += [pair] if len(shown) < SHOWN else []
        tell(number)
    if not shown:
        mend = f"Give pictures; these are {', '.join(sorted(unreadable))}"
        raise UserError("not one picture can be decoded", str(files[0].parent), mend)
    return FolderQuality(metrics.compute()[ALL], dict(unreadable), shown)


def _reconstruct(
    tokenizer: ImageTokenizer,
    picture: Image.Image,
    schedules: Sequence[ScaleSchedule],
    metrics: ReconstructionMetrics,
) -> Pair:
    schedule = nearest(schedules, picture.width, picture.height)
    cropped = fit(picture, schedule.width, schedule.height)
    original_13HW = to_tensor([cropped]).to(next(tokenizer.parameters()).device)
    return cropped, to_images(reconstruct(tokenizer, original_13HW, schedule, metrics))[0]
