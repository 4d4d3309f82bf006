"""The tokenizer's evaluation: its three trainings on held-out pictures, at each level (paper 6.6, Table 12).

A training at a level is a unit of work. Pictures are measured one by one, so that no figure depends on
batches.

Shapes: 1 picture, 3 channels, H W pixels, N tokens.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import torch
from PIL import Image

from infra import storage
from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt
from infra.reporter import Reporter
from jobs.models import load_tokenizer
from jobs.pictures.charts import bar_chart
from jobs.pictures.sheets import reconstruction_grid
from jobs.recipe import Level
from jobs.specs import TokenizerEvaluationSettings
from jobs.tensors import to_images
from jobs.tokenizer.batches import hold_out
from jobs.tokenizer.metrics import ALL, ReconstructionMetrics, load_inception, reconstruct
from jobs.tokenizer.perceptual import Lpips
from jobs.tokenizer.pictures import Pictures, find_pictures
from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer

STAGES = ("pixel", "joint", "decoder")
"""The trainings, in order."""

SHOWN = 8
"""Pictures in the grids of reconstructions."""

QUALITY_SCHEMA = pa.schema(
    [
        ("stage", pa.string()),
        ("level", pa.string()),
        ("schedule", pa.string()),  # `all` for the pictures of all schedules
        ("pictures", pa.int64()),
        ("psnr", pa.float64()),
        ("ssim", pa.float64()),
        ("lpips", pa.float64()),
        ("rfid", pa.float64()),
        ("codebook_use", pa.float64()),
        ("dead_codes", pa.int64()),
        ("perplexity", pa.float64()),
    ]
)

Row = dict[str, Any]


@dataclass(frozen=True)
class _Unit:
    """A training's tokenizer at a level."""

    level: str
    stage: str

    @property
    def name(self) -> str:
        return f"{self.level}-{self.stage}"

    def picture(self, number: int) -> str:
        """Where one of the shown reconstructions is published."""
        return f"data/{self.level}/{self.stage}/{number}.png"


def run(spec: JobSpec[TokenizerEvaluationSettings], report: Reporter) -> Manifest:
    """Measure the three trainings at each level, on pictures that none of them trained on.

    Raises:
        UserError: no pictures are held out, a tokenizer's stride is not a level's cell, or the weights
            that LPIPS or rFID need cannot be had.
    """
    output = Output(spec.output)
    assessment = _Assessment(spec, output)
    receipts = assessment.measure(report)
    rows: list[Row] = [row for receipt in receipts for row in receipt.metadata["rows"]]
    quality = output.publish_table("data/quality.parquet", pa.Table.from_pylist(rows, schema=QUALITY_SCHEMA))
    assessment.show(rows)
    for name, uri in output.pictures().items():
        report.picture(name, uri)
    return output.commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=(quality, *(file for receipt in receipts for file in receipt.files)),
            counts=assessment.counts,
            metadata=_figures(rows),
        )
    )


class _Assessment:
    """The held-out pictures, and what measures them."""

    def __init__(self, spec: JobSpec[TokenizerEvaluationSettings], output: Output) -> None:
        self._spec, self._settings, self._output = spec, spec.settings, output
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._found: dict[tuple[ScaleSchedule, ...], Pictures] = {}
        self._levels = dict(sorted(self._settings.levels.items(), key=lambda named: _tokens(named[1])))
        self._units = [_Unit(level, stage) for level in self._levels for stage in STAGES]
        # Numbers of pictures are the same at every level, for pictures are ordered by their ids.
        ids = [ref.sample_id for ref in self._pictures(self._settings.train_level).refs]
        held_out = hold_out(ids)[1]
        self._chosen = held_out[: self._settings.evaluation.pictures]
        beyond = len(held_out) - len(self._chosen)
        rejected = {"beyond_limit": beyond} if beyond else {}
        self.counts = Counts(total=len(held_out), kept=len(self._chosen), rejected=rejected)

    def measure(self, report: Reporter) -> list[Receipt]:
        """Do the units that no earlier run did; return all receipts in order."""
        if not self._chosen:
            raise UserError("no pictures are held out", "evaluation of the tokenizer", "Add pictures")
        receipts = self._output.receipts()
        total = len(self._units) * len(self._chosen)
        for number, unit in enumerate(self._units):
            before = number * len(self._chosen)
            report.progress(before, total, "pictures")
            if unit.name not in receipts:
                receipts[unit.name] = self._do(unit, _offset(report, before, total))
        report.progress(total, total, "pictures")
        return [receipts[unit.name] for unit in self._units]

    def show(self, rows: Sequence[Row]) -> None:
        """A grid of reconstructions for each level, and a bar of PSNR for each training."""
        for level in self._levels:
            pictures = self._pictures(self._levels[level])
            originals = [to_images(pictures.batch([number]))[0] for number in self._chosen[:SHOWN]]
            decoded = {stage: self._decoded(_Unit(level, stage), len(originals)) for stage in STAGES}
            title = f"Held-out pictures, level {level}"
            grid = reconstruction_grid(originals, decoded, cell=128, title=title)
            self._output.picture(f"reconstructions-{level}", grid)
        bars = {
            f"{row['stage']}, level {row['level']}": row["psnr"] for row in rows if row["schedule"] == ALL
        }
        self._output.picture("psnr", bar_chart(bars, "PSNR on held-out pictures", "decibels"))

    def _do(self, unit: _Unit, tell: Callable[[int], None]) -> Receipt:
        """Measure a training at a level; publish the pictures that are shown."""
        tokenizer = self._tokenizer(unit)
        metrics = ReconstructionMetrics(tokenizer.config.codebook_size, self._lpips, self._inception)
        pictures = self._pictures(self._levels[unit.level])
        files = []
        for place, number in enumerate(self._chosen):
            original_13HW = pictures.batch([number]).to(self._device)
            decoded_13HW = reconstruct(tokenizer, original_13HW, pictures.refs[number].schedule, metrics)
            if place < SHOWN:
                files.append(self._output.publish(unit.picture(place), _png(to_images(decoded_13HW)[0])))
            tell(place + 1)
        where = {"stage": unit.stage, "level": unit.level}
        rows = [
            where | {"schedule": name} | dataclasses.asdict(figures)
            for name, figures in metrics.compute().items()
        ]
        counts = Counts(total=len(self._chosen), kept=len(self._chosen))
        receipt = Receipt(unit=unit.name, files=tuple(files), counts=counts, metadata={"rows": rows})
        return self._output.finish_unit(receipt)

    @cached_property
    def _lpips(self) -> Lpips | None:
        if not self._settings.evaluation.lpips:
            return None
        mend = "Name a local file with torchvision's vgg16-397923af.pth, or set lpips to false"
        return Lpips.load(self._settings.vgg16, mend=mend).to(self._device)

    @cached_property
    def _inception(self) -> torch.nn.Module | None:
        evaluation = self._settings.evaluation
        return load_inception(evaluation.inception).to(self._device) if evaluation.rfid else None

    def _tokenizer(self, unit: _Unit) -> ImageTokenizer:
        (folder,) = self._spec.inputs[f"tokenizer/{unit.stage}"]
        tokenizer = load_tokenizer(folder)
        stride, cell = tokenizer.config.stride, self._levels[unit.level].cell
        if stride != cell:
            raise UserError(
                f"the tokenizer has a stride of {stride} pixels, level {unit.level!r} cells of {cell}",
                "recipe, tokenizer_evaluation.levels",
                f"Name levels with cells of {stride}",
            )
        return tokenizer.to(self._device)

    def _pictures(self, level: Level) -> Pictures:
        """All pictures, cropped to the schedules of a level."""
        schedules = level.schedules()
        if schedules not in self._found:
            refs = find_pictures(self._spec.inputs["t2i/captioned"], schedules)
            self._found[schedules] = Pictures(refs)
        return self._found[schedules]

    def _decoded(self, unit: _Unit, count: int) -> list[Image.Image]:
        places = (storage.join(self._output.uri, unit.picture(number)) for number in range(count))
        return [Image.open(io.BytesIO(storage.read_bytes(place))) for place in places]


def _tokens(level: Level) -> int:
    """Of an image, for levels in the order of their resolution however the recipe lists them."""
    return level.schedules()[0].tokens


def _offset(report: Reporter, before: int, total: int) -> Callable[[int], None]:
    """Progress of one unit as progress of all of them."""
    return lambda done: report.progress(before + done, total, "pictures")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    """What was measured over all schedules: training, level, figures."""
    figures: dict[str, dict[str, Row]] = {stage: {} for stage in STAGES}
    for row in rows:
        if row["schedule"] == ALL:
            measured = {name: row[name] for name in QUALITY_SCHEMA.names[3:]}
            figures[row["stage"]][row["level"]] = measured
    return figures
