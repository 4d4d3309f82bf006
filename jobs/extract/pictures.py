"""Tokens decoded back to pictures, beside the originals: what training will see of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from infra import storage
from infra.document import ImageSegment
from infra.manifest import Receipt, read_table
from jobs.curated import iter_unit
from jobs.extract.unit import Plan
from jobs.images import decode, fit
from jobs.models import load_tokenizer
from jobs.pictures.sheets import reconstruction_grid
from jobs.schemas import from_row
from jobs.tensors import to_images
from model.scales import ScaleSchedule
from model.tokenizer import ImageTokenizer

SAMPLES = 6


def decoded_back(plan: Plan, receipts: Sequence[Receipt]) -> bytes | None:
    """A PNG of the first documents that have tokens: originals above, decoded inputs below.

    None where there are no documents. The inputs are what is decoded because, with self-correction,
    the targets are corrections of them and do not add up to the picture on their own.
    """
    receipt = next((r for r in receipts if r.counts.kept), None)
    if receipt is None:
        return None
    tokenizer = load_tokenizer(plan.tokenizer)
    schedules = {s.name: s for s in plan.schedules()}
    table = read_table(storage.join(plan.output.uri, receipt.files[0].path))
    documents = {d.sample_id: d for d in map(from_row, table.slice(0, SAMPLES).to_pylist())}
    originals, decoded = [], []
    for sample_id, original in _originals(plan, receipt.unit, set(documents)):
        segment = next(s for s in documents[sample_id].segments if s.kind == "image")
        schedule = schedules[segment.schedule]
        originals.append(fit(original, schedule.width, schedule.height))
        decoded.append(_decode(tokenizer, segment.inputs, schedule))
    return reconstruction_grid(
        originals, {"from tokens": decoded}, title="Pictures and what their tokens say"
    )


def _originals(plan: Plan, unit: str, wanted: set[int]) -> list[tuple[int, Image.Image]]:
    """The first picture of each wanted document of a unit."""
    found = (
        (document.sample_id, decode(media[segment.member]))
        for document, media in iter_unit(plan.captioned, f"data/{unit}.tar")
        if document.sample_id in wanted
        for segment in [next(s for s in document.segments if isinstance(s, ImageSegment))]
    )
    return list(islice(found, len(wanted)))


def _decode(tokenizer: ImageTokenizer, codes: npt.NDArray[np.uint16], schedule: ScaleSchedule) -> Image.Image:
    codes_BN = torch.from_numpy(codes.astype(np.int64))[None]
    return to_images(tokenizer.decode(codes_BN, schedule))[0]
