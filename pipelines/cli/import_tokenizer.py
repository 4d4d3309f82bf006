"""`nextscale import-tokenizer`: TokenFlow's published tokenizers, ready for use here."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from model.tokenizer.tokenflow import Converted, SourceTensor

STEPS = ("read", "converted", "written")
KNOWN = "Give TokenFlow's tokenflow_clipb_32k_enhanced.pt or tokenflow_siglip_32k.pt, or one trained like it"


def import_tokenizer(
    file: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint of TokenFlow's training, `.pt`, or its weights alone, `.safetensors`.",
            metavar="FILE",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder to make, with `config.json` and `model.safetensors`."),
    ],
    report: Annotated[
        Path | None, typer.Option(help="JSON to write: what became of each tensor.", metavar="FILE")
    ] = None,
) -> None:
    """Import a tokenizer that TokenFlow published: the same indices and pictures as from its own code.

    The CLIP file works at 224 and 256 pixels, the SigLIP file at 384. Every tensor of the file is accounted
    for; one that is missing, unknown or of a wrong shape is an error. Nothing in the file is run.

    Examples:

    - `nextscale import-tokenizer tokenflow_clipb_32k_enhanced.pt -o tokenflow-clipb`
    - `nextscale import-tokenizer tokenflow_siglip_32k.pt -o tokenflow-siglip --report tensors.json`
    """
    _require_new(out)
    if report is not None and not report.absolute().parent.is_dir():
        raise UserError(
            "no such folder", str(report.absolute().parent), "Make it, or choose another --report"
        )
    converted = _import(file, out)
    if report is not None:
        report.write_text(_to_json(file, converted), encoding="utf-8")
    _show(converted)
    print(out)


def _require_new(out: Path) -> None:
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError("is there already", str(out), "Choose another --out")


def _import(file: Path, out: Path) -> Converted:
    """Read, convert and write; torch is loaded here and not before."""
    from safetensors import SafetensorError

    from model.tokenizer.tokenflow import convert, read_checkpoint
    from pipelines.cli.console import make_view

    with make_view() as view:
        progress = view.watch("import-tokenizer", None).progress
        try:
            state = read_checkpoint(file)
            progress(1, len(STEPS), STEPS[0])
            converted = convert(state)
            progress(2, len(STEPS), STEPS[1])
        except OSError as error:
            raise UserError(f"cannot be read ({error.strerror})", str(file), "Check the path") from error
        except ValueError as error:
            raise UserError(str(error), str(file), KNOWN) from error
        try:
            _publish(converted, out)
        except SafetensorError as error:
            raise UserError(f"cannot be written ({error})", str(out), "Check the disk's space") from error
        progress(3, len(STEPS), STEPS[2])
    return converted


def _publish(converted: Converted, out: Path) -> None:
    """The folder appears with both files or not at all."""
    unfinished = out.absolute().with_name(f".{out.absolute().name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    converted.save(unfinished)
    unfinished.replace(out.absolute())


def _to_json(file: Path, converted: Converted) -> str:
    body = {
        "file": file.name,
        "config": dataclasses.asdict(converted.config),
        "tensors": [dataclasses.asdict(tensor) for tensor in converted.report],
    }
    return json.dumps(body, indent=1) + "\n"


def _show(converted: Converted) -> None:
    from pipelines.cli.console import make_console

    make_console().print(_table(converted))


def _table(converted: Converted) -> Table:
    """One row per module of the file and what became of it."""
    from pipelines.cli.tables import start_table

    table = start_table(("in the file",), ("tensors", "values"), ("became",))
    tensors: Counter[tuple[str, str]] = Counter()
    values: Counter[tuple[str, str]] = Counter()
    for tensor in converted.report:
        row = (tensor.name.split(".")[0], _outcome(tensor))
        tensors[row] += 1
        values[row] += math.prod(tensor.shape)
    for (module, outcome), count in tensors.items():
        table.add_row(module, f"{count:,}", f"{values[module, outcome]:,}", outcome)
    return table


def _outcome(tensor: SourceTensor) -> str:
    if tensor.unused:
        return f"not used: {tensor.unused}"
    return tensor.loaded_as[0].split(".")[0]
