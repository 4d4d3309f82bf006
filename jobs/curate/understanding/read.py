"""understanding/read: the text in every curated picture of a drop, tar by tar. Rejects nothing."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from infra import storage
from infra.catalogue import BASE_FIELDS, Counts
from infra.document import Document
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, Receipt, read_manifest, read_table
from infra.reporter import Reporter
from jobs.curate.stage import CATALOGUE, commit, count_rows, only_input
from jobs.curate.understanding.recognise import Recogniser
from jobs.curated import Media, first_picture, iter_unit
from jobs.specs.understanding import ReadTextSettings
from jobs.units import Unit, run_units

_SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("unit", pa.string()),
        ("found_text", pa.string()),
        ("characters", pa.int64()),
        ("confidence", pa.float64()),
        ("area", pa.float64()),
    ]
)


def run(spec: JobSpec[ReadTextSettings], report: Reporter) -> Manifest:
    """Read every picture of the drop."""
    output = Output(spec.output)
    folder = only_input(spec, "t2i/captioned")
    units = tar_units(folder)
    receipts = run_units(
        output, units, Reader, report, spec.resources, arguments=(output, folder), noun="pictures"
    )
    files = [file for receipt in receipts for file in receipt.files]
    tables = [read_table(storage.join(spec.output, file.path)) for file in files]
    catalogue = pa.concat_tables([_SCHEMA.empty_table(), *tables]).sort_by("source")
    with_text = sum(number > 0 for number in catalogue["characters"].to_pylist())
    entry = output.publish_table(CATALOGUE, catalogue)
    return commit(spec, [entry, *files], count_rows(catalogue), {"pictures_with_text": with_text})


def tar_units(folder: str) -> list[Unit[FileEntry]]:
    """One unit for each tar of a finished folder of documents."""
    tars = [file for file in read_manifest(folder).files if file.path.endswith(".tar")]
    return [Unit(PurePosixPath(file.path).stem, file, max(1, file.rows)) for file in tars]


class Reader:
    """A worker: loads the recogniser once, reads the pictures of tars."""

    def __init__(self, output: Output, folder: str) -> None:
        self._output, self._folder = output, folder
        self._recognise = Recogniser()

    def __call__(self, unit: Unit[FileEntry]) -> Receipt:
        """Publish `data/<unit>.text.parquet`."""
        rows = [
            self._row(document, media, unit.name)
            for document, media in iter_unit(self._folder, unit.payload.path)
        ]
        table = pa.Table.from_pylist(rows, schema=_SCHEMA)
        entry = self._output.publish_table(f"data/{unit.name}.text.parquet", table)
        return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=len(rows), kept=len(rows)))

    def _row(self, document: Document, media: Media, unit: str) -> dict[str, Any]:
        found = self._recognise(first_picture(document, media))
        return {
            "sample_id": document.sample_id,
            "source": document.metadata["source"],
            "status": "kept",
            "unit": unit,
            "found_text": found.text,
            "characters": found.characters,
            "confidence": found.confidence,
            "area": found.area,
        }
