"""Tokens decoded back to pictures, beside the originals: what training will see of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from infra import storage
from infra.document import ImageSegment
from infra.manifest import Receipt
from infra.reporter import Reporter
from jobs.attempts import Span
from jobs.extract.plan import Plan, Tar, iter_span
from jobs.images import decode, fit
from jobs.models import load_tokenizer
from jobs.pictures.sheets import reconstruction_grid
from jobs.schemas import DocumentTokens, SegmentTokens, from_row
from jobs.tensors import one_thread, to_images
from jobs.units import Unit
from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer

SAMPLES = 8
"""Pictures shown."""

Sample = tuple[Image.Image, SegmentTokens]


def decoded_back(
    plan: Plan, units: Sequence[Unit[Tar]], receipts: Sequence[Receipt], report: Reporter
) -> dict[str, Any]:
    """Publish a PNG of the first pictures that have tokens: originals above, decoded inputs below.

    The inputs are what is decoded because, with self-correction, the targets are corrections of them and do
    not add up to the picture on their own.

    Returns:
        How many pictures, and their mean PSNR in decibels; nothing where there are no pictures.
    """
    samples = list(islice(_samples(plan, units, receipts), SAMPLES))
    if not samples or plan.tokenizer is None:
        return {}
    tokenizer = load_tokenizer(plan.tokenizer)
    schedules = {schedule.name: schedule for schedule in plan.schedules()}
    originals, decoded = [], []
    with one_thread():
        for original, segment in samples:
            schedule = schedules[segment.schedule]
            originals.append(fit(original, schedule.width, schedule.height))
            decoded.append(_decode(tokenizer, segment, schedule))
    rows = {"from tokens": decoded}
    png = reconstruction_grid(originals, rows, title="Pictures and what their tokens say")
    report.picture("decoded_back", plan.output.picture("decoded_back", png))
    psnr = np.mean([_psnr(*pair) for pair in zip(originals, decoded, strict=True)])
    return {"decoded_back": {"pictures": len(samples), "psnr": round(float(psnr), 2)}}


def _samples(plan: Plan, units: Sequence[Unit[Tar]], receipts: Sequence[Receipt]) -> Iterator[Sample]:
    """Pictures of the documents that have tokens, in order."""
    for unit, receipt in zip(units, receipts, strict=True):
        if not receipt.metadata["schedules"]:
            continue
        documents = _first_documents(storage.join(plan.output.uri, receipt.files[0].path))
        whole = Span(0, unit.payload.entry.rows)
        for document, media in iter_span(unit.payload, whole):
            if tokens := documents.pop(document.sample_id, None):
                images = [s for s in document.segments if isinstance(s, ImageSegment)]
                found = [segment for segment in tokens.segments if segment.kind == "image"]
                for image, segment in zip(images, found, strict=True):
                    yield decode(media[image.member], image.width * image.height), segment
            if not documents:
                break


def _first_documents(uri: str) -> dict[int, DocumentTokens]:
    """The first documents of a token file, by sample id."""
    with storage.open_input(uri) as stream:
        batch = next(pq.ParquetFile(stream).iter_batches(SAMPLES, use_threads=False))
        return {document.sample_id: document for document in map(from_row, batch.to_pylist())}


def _decode(tokenizer: ImageTokenizer, segment: SegmentTokens, schedule: ScaleSchedule) -> Image.Image:
    codes_BN = torch.from_numpy(segment.inputs.astype(np.int64))[None]
    return to_images(tokenizer.decode(codes_BN, schedule))[0]


def _psnr(one: Image.Image, other: Image.Image) -> float:
    """Decibels, between 8-bit pictures; one grey level of error where they are equal."""
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return 20 * math.log10(255) - 10 * math.log10(max(float(np.mean(difference**2)), 1.0))
