"""What a generation wrote, as files: a sheet of pictures, or Markdown with its pictures beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from jobs.pictures.sheets import SampleRow, sample_sheet

Written = Sequence[str | Image.Image]
"""Text and pictures in their order."""

PNG_KEY = "nextscale"
"""PNG text chunk that says how a picture was made, as JSON."""


@dataclass(frozen=True)
class Generation:
    """What was written for each prompt, one or more times, and how."""

    prompts: Sequence[str]
    written: Sequence[Sequence[Written]]
    made_by: Mapping[str, object]


def texts(written: Written) -> list[str]:
    """The texts of what was written."""
    return [part for part in written if isinstance(part, str)]


def images(written: Written) -> list[Image.Image]:
    """The pictures of what was written."""
    return [part for part in written if isinstance(part, Image.Image)]


def sheet_png(generation: Generation) -> bytes:
    """The only picture, or a row of pictures for each prompt."""
    rows = [[image for written in samples for image in images(written)] for samples in generation.written]
    if len(rows) == len(rows[0]) == 1:
        return png_bytes(rows[0][0], generation.made_by)
    cell = max(96, *(image.width for row in rows for image in row))
    labelled = [
        SampleRow(prompt, row, [None] * len(row))
        for prompt, row in zip(generation.prompts, rows, strict=True)
    ]
    return png_bytes(sample_sheet(labelled, cell=cell), generation.made_by)


def markdown_files(generation: Generation, name: str) -> dict[str, bytes]:
    """`<name>.md`, in which every document stands under its prompt, and its pictures, `<name>-1.png` on."""
    files: dict[str, bytes] = {}
    lines: list[str] = []
    for prompt, samples in zip(generation.prompts, generation.written, strict=True):
        for written in samples:
            lines += [f"## {' '.join(prompt.split())}"]
            for part in written:
                if isinstance(part, str):
                    lines.append(part.strip())
                    continue
                picture = f"{name}-{len(files) + 1}.png"
                files[picture] = png_bytes(part, generation.made_by)
                lines.append(f"![picture]({picture})")
    return files | {f"{name}.md": ("\n\n".join(lines) + "\n").encode()}


def png_bytes(image: Image.Image, made_by: Mapping[str, object]) -> bytes:
    """A picture as PNG that says how it was made."""
    info = PngInfo()
    info.add_itxt(PNG_KEY, json.dumps(dict(made_by), sort_keys=True, ensure_ascii=False))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
