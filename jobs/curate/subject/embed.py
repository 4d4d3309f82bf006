"""subject/embedded: where every usable picture lies in the semantic encoder's space.

No threshold is asked here, so changing one embeds nothing again. Pictures are embedded one at a time on
one CPU thread: a picture's place depends on the picture and the encoder alone.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import torch

from infra.catalogue import BASE_FIELDS, Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt
from infra.reporter import Reporter
from jobs.curate.parts import Part, plan_units
from jobs.curate.stage import CATALOGUE, commit, count_rows, kept_rows, only_input, read_catalogue
from jobs.curate.t2i.documents import read_originals
from jobs.curate.t2i.embeddings import SUFFIX, to_bytes
from jobs.images import decode
from jobs.recipe import Source
from jobs.semantic.encoder import load_encoder
from jobs.sources.shards import read_shards
from jobs.specs.subject import EmbedSettings
from jobs.units import Unit, run_units

_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("embedding", pa.binary(), nullable=False),  # half floats, little endian, of length one
    ]
)
_ROW = ["shard", "source", "bytes", "sha256", "width", "height"]


class EmbedWorker:
    """A worker: built once, called with units."""

    def __init__(self, output: Output, source: Source, encoder: str) -> None:
        torch.set_num_threads(1)
        self._output, self._source = output, source
        self._encoder = load_encoder(encoder)

    def __call__(self, unit: Unit[Part]) -> Receipt:
        """Publish `data/<unit>.embeddings.parquet`.

        Raises:
            UserError: the source no longer has what was scored, or an embedding is not finite.
        """
        rows = [
            {"source": row["source"], "embedding": self._embed(image, row)}
            for row, image in read_originals(unit.payload, self._source)
        ]
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        entry = self._output.publish_table(f"data/{unit.name}{SUFFIX}", table)
        return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=unit.size, kept=unit.size))

    def _embed(self, image: bytes, row: dict[str, Any]) -> bytes:
        # It was decoded once already, so its size is within what scoring allows.
        picture = decode(image, row["width"] * row["height"])
        vector_D = self._encoder.images([picture])[0]
        if not torch.isfinite(vector_D).all():
            what = f"the embedding of {row['source']} is not finite"
            raise UserError(what, "tokenizer.semantic", "The weights are damaged; make them anew")
        return to_bytes(vector_D.numpy())


def run(spec: JobSpec[EmbedSettings], report: Reporter) -> Manifest:
    """Embed every usable picture of the drop; rejects nothing."""
    output = Output(spec.output)
    folder = only_input(spec, "subject/scored")
    kept = kept_rows(read_catalogue(folder))
    units = plan_units(kept.select(_ROW).to_pylist(), read_shards(folder))
    arguments = (output, spec.settings.source, _encoder_of(spec))
    receipts = run_units(
        output, units, EmbedWorker, report, spec.resources, arguments=arguments, noun="pictures"
    )
    catalogue = kept.select([*(field.name for field in BASE_FIELDS), "shard"])
    files = [file for receipt in receipts for file in receipt.files]
    return commit(spec, [output.publish_table(CATALOGUE, catalogue), *files], count_rows(catalogue), {})


def _encoder_of(spec: JobSpec[EmbedSettings]) -> str:
    """Where the encoder is: trained by a job before, or named by the recipe."""
    trained = spec.inputs.get("tokenizer/semantic", [])
    place = spec.settings.pretrained or next(iter(trained), None)
    if place is None:
        what = "subject pairs need a semantic encoder, and there is none"
        raise UserError(what, "tokenizer.semantic", "Name one as tokenizer.semantic.pretrained")
    return place
