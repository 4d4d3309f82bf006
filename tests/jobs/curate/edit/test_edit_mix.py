"""edit/mixed over several inputs: edits that were found, some of them twice, and edits that were made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from infra.catalogue import BASE_FIELDS, Counts
from infra.document import Document, format_id
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import SilentReporter
from jobs.curate.edit import mix
from jobs.curate.stage import read_catalogue
from jobs.curated import Media, iter_documents, tar_bytes
from jobs.specs.edit import EditMixSettings

Folders = dict[str, str]
MADE = 30


def renamed(document: Document, media: Media, number: int) -> tuple[Document, Media]:
    """A document as if it were made: another sample of another task."""
    old, new = format_id(document.sample_id), format_id(number)
    segments = [segment.model_dump() for segment in document.segments]
    for segment in segments:
        if "member" in segment:
            segment["member"] = segment["member"].replace(old, new)
    changed = {
        "sample_id": number,
        "segments": segments,
        "metadata": {"source": f"made#{number}", "task": "move"},
    }
    document = Document.model_validate(document.model_dump() | changed)
    return document, {name.replace(old, new): data for name, data in media.items()}


@pytest.fixture
def made(drawn: tuple[Path, Folders], tmp_path: Path) -> str:
    """An edit/synthetic: thirty edits of one task in two tars, without subsets."""
    found = list(iter_documents(drawn[1]["audited"]))[:MADE]
    documents = [renamed(document, media, n) for n, (document, media) in enumerate(found)]
    output = Output(str(tmp_path / "made"))
    tars = [
        output.publish(f"data/{n}.tar", tar_bytes(documents[n::2]), len(documents[n::2])) for n in range(2)
    ]
    rows = [
        {"sample_id": d.sample_id, "source": d.metadata["source"], "status": "kept", "task": "move"}
        for d, _ in documents
    ]
    schema = pa.schema([*BASE_FIELDS, ("task", pa.string())])
    catalogue = output.publish_table("data/catalogue.parquet", pa.Table.from_pylist(rows, schema=schema))
    manifest = Manifest(
        asset="edit/synthetic",
        partition="t2i-0000",
        fingerprint="f",
        files=(catalogue, *tars),
        counts=Counts(total=MADE, kept=MADE),
    )
    output.commit(manifest)
    return output.uri


def run_mix(inputs: dict[str, list[str]], output: Path, met: float, **target: float) -> Manifest:
    spec = JobSpec[EditMixSettings](
        asset="edit/mixed",
        fingerprint="f",
        inputs=inputs,
        output=str(output),
        settings=EditMixSettings(target=target, met=met),
    )
    return mix.run(spec, SilentReporter())


def test_found_and_made_edits_are_mixed_and_repeated_ones_stay_once(
    drawn: tuple[Path, Folders], made: str, tmp_path: Path
) -> None:
    found = drawn[1]["audited"]
    originals = {
        document.sample_id: media for folder in (found, made) for document, media in iter_documents(folder)
    }
    inputs = {"edit/synthetic": [made], "edit/audited": [found, found]}
    manifest = run_mix(inputs, tmp_path / "mixed", 1.0, add=1.0, replace=1.0, move=2.0)
    tasks = manifest.metadata["tasks"]
    kept = {task: figures["kept"] for task, figures in tasks.items() if figures["kept"]}
    assert kept["add"] == kept["replace"]
    assert abs(kept["move"] - 2 * kept["add"]) <= 1
    assert manifest.counts.total == 2 * (len(originals) - MADE) + MADE
    assert manifest.counts.rejected["exact_duplicate"] == len(originals) - MADE
    assert manifest.metadata["made_by"].keys() == {"edit/audited", "edit/synthetic"}
    documents = list(iter_documents(str(tmp_path / "mixed")))
    assert Counter(document.metadata["task"] for document, _ in documents) == kept
    assert all(media == originals[document.sample_id] for document, media in documents)


def test_tars_are_cut_by_their_size_and_hold_the_same(
    drawn: tuple[Path, Folders], made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"edit/audited": [drawn[1]["audited"]], "edit/synthetic": [made]}
    whole = run_mix(inputs, tmp_path / "whole", 0.0, add=1.0, move=1.0)
    monkeypatch.setattr(mix, "UNIT_BYTES", 1)
    cut = run_mix(inputs, tmp_path / "cut", 0.0, add=1.0, move=1.0)
    assert len(cut.paths(".tar")) > len(whole.paths(".tar")) == 2
    same = [{d.sample_id for d, _ in iter_documents(str(tmp_path / name))} for name in ("whole", "cut")]
    assert same[0] == same[1]
    catalogues = [read_catalogue(str(tmp_path / name)) for name in ("whole", "cut")]
    assert catalogues[0].equals(catalogues[1])


def test_without_any_edit_there_is_an_empty_mix(tmp_path: Path) -> None:
    schema = pa.schema([*BASE_FIELDS, ("task", pa.string())])
    output = Output(str(tmp_path / "made"))
    entry = output.publish_table("data/catalogue.parquet", schema.empty_table())
    output.commit(
        Manifest(asset="edit/synthetic", partition=None, fingerprint="f", files=(entry,), counts=Counts())
    )
    manifest = run_mix({"edit/synthetic": [output.uri]}, tmp_path / "mixed", 0.5, add=1.0)
    assert (manifest.counts.total, manifest.paths(".tar")) == (0, [])
