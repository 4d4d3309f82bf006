"""t2i/embedded: what each decodable picture means, as a vector, and how it looks, as a number.

Made from the scores and the encoder, of the source's own bytes; no threshold decides what is embedded, so
changing one embeds nothing again. A trained encoder has seen what was filtered, though: with that, changed
filters train and embed anew, with a published one they do not. Pictures are embedded one at a time on one
CPU thread, so an embedding is a pure function of the picture and the encoder.
"""

from __future__ import annotations

import math

import pyarrow as pa
import torch

from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt
from infra.reporter import Reporter
from jobs.curate.figures import quantiles
from jobs.curate.parts import Part, Row, plan_units
from jobs.curate.pictures import show_aesthetics
from jobs.curate.stage import (
    CATALOGUE,
    commit,
    count_rows,
    kept_rows,
    only_input,
    read_catalogue,
    set_column,
)
from jobs.curate.t2i.aesthetic import MEASURES, open_scorer
from jobs.curate.t2i.documents import read_originals
from jobs.curate.t2i.embedders import open_embedder
from jobs.curate.t2i.embeddings import publish_embeddings, read_aesthetics, to_bytes
from jobs.images import decode
from jobs.sources.shards import read_shards
from jobs.specs.t2i import EmbedSettings
from jobs.units import Unit, run_units

_COLUMNS = ("sample_id", "source", "status", "reason", "detail", "shard", "width", "height")
_ROW = ("sample_id", "source", "shard", "bytes", "sha256", *MEASURES)


def run(spec: JobSpec[EmbedSettings], report: Reporter) -> Manifest:
    """Embed every picture of the drop that decodes; rejects nothing.

    Raises:
        UserError: there is no encoder, its numbers are not finite, or a picture changed since it was scored.
    """
    output = Output(spec.output)
    folder = only_input(spec, "t2i/scored")
    kept = kept_rows(read_catalogue(folder))
    units = plan_units(kept.select(_ROW).to_pylist(), read_shards(folder))
    trained = spec.inputs.get("tokenizer/semantic", [])
    arguments = (output, spec.settings, trained)
    receipts = run_units(
        output, units, EmbedWorker, report, spec.resources, arguments=arguments, noun="pictures"
    )
    files = [file for receipt in receipts for file in receipt.files]
    catalogue = kept.select(_COLUMNS)
    scores = read_aesthetics(spec.output, [file.path for file in files])
    aesthetic = [scores[source] for source in catalogue["source"].to_pylist()]
    catalogue = set_column(catalogue, "aesthetic", aesthetic, pa.float64())
    show_aesthetics(output, report, catalogue, folder)
    files.insert(0, output.publish_table(CATALOGUE, catalogue))
    figures = {"aesthetic": quantiles(catalogue["aesthetic"]) if len(catalogue) else {}}
    return commit(spec, files, count_rows(catalogue), figures)


class EmbedWorker:
    """A worker: the models are loaded once, then called with units."""

    def __init__(self, output: Output, settings: EmbedSettings, trained: list[str]) -> None:
        torch.set_num_threads(1)
        self._output, self._settings = output, settings
        self._embed = open_embedder(settings.embedding, settings.pretrained, trained)
        self._score = open_scorer(settings.embedding.aesthetic)

    def __call__(self, unit: Unit[Part]) -> Receipt:
        """Publish the embeddings of one unit."""
        rows = [self._row(row, image) for row, image in read_originals(unit.payload, self._settings.source)]
        entry = publish_embeddings(self._output, unit.name, rows)
        return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=unit.size, kept=unit.size))

    def _row(self, row: Row, image: bytes) -> Row:
        picture = decode(image, self._settings.max_pixels)
        vector_D = self._embed.images([picture])[0]
        aesthetic = self._score(picture, row)
        if not (torch.isfinite(vector_D).all() and math.isfinite(aesthetic)):
            what = f"the embedding of {row['source']} is not finite"
            raise UserError(what, "curation.t2i.embedding", "The weights are damaged; load them anew")
        stored = {"embedding": to_bytes(vector_D.numpy()), "aesthetic": aesthetic}
        return {"sample_id": row["sample_id"], "source": row["source"], **stored}
