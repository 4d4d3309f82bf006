"""Damaged and hostile files through the whole of curation: none stops it, each meets its fate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from curate.t2i.hostile import KEPT, MAX_BYTES, MAX_PIXELS, write_folder, write_tars

from infra.manifest import read_manifest
from jobs.curate.stage import read_catalogue
from jobs.curated import iter_documents
from jobs.images import decode
from jobs.recipe import Filters, FolderSource, T2ICuration, Topics, WebDatasetSource
from jobs.recipe.curation.t2i import Selection
from jobs.recipe.sources import Mix, OneT2I

STAGES = ("scored", "filtered", "selected", "topics", "balanced", "captioned")
CURATION = T2ICuration(
    filters=Filters(max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS),
    selection=Selection(min_aesthetic=0.1, min_similarity=1.0),
    topics=Topics(taxonomy={"cat": ["cat"], "dog": ["dog"]}, by="picture"),
)
ODD = {
    "wrong_extension",
    "cmyk",
    "sixteen_bits",
    "alpha",
    "rotated",
    "broken_exif",
    "odd_exif",
    "other_format",
    "tar",
}


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Mix[OneT2I], dict[str, tuple[str, str]]]:
    """A mix of a folder and tars, and kind and right reason of each record by the end of its source."""
    expected = write_folder(tmp_path / "in" / "folder") | write_tars(tmp_path / "in" / "tars")
    folder = FolderSource(uri=str(tmp_path / "in" / "folder"), shard_records=80)
    tars = WebDatasetSource(uri=str(tmp_path / "in" / "tars"))
    return Mix[OneT2I](parts={"folder": folder, "tars": tars}), expected


def test_each_file_meets_its_fate_and_none_is_lost(
    hostile: tuple[Mix[OneT2I], dict[str, tuple[str, str]]],
    curate: Callable[..., dict[str, str]],
    encoder: str,
    tmp_path: Path,
) -> None:
    source, expected = hostile
    bad = [kind for kind, reason in expected.values() if reason != KEPT or kind in ODD]
    assert len(bad) >= 200
    assert len(set(bad)) >= 12
    folders = curate(source, tmp_path / "home", CURATION, encoder=encoder)

    rows = read_catalogue(folders["captioned"]).to_pylist()
    found = {end: row["reason"] or KEPT for row in rows for end in expected if row["source"].endswith(end)}
    assert found == {end: reason for end, (_, reason) in expected.items()}
    assert len(rows) == len(expected)

    counts = {name: read_manifest(folders[name]).counts for name in STAGES}
    assert counts["scored"].total == len(expected)
    assert [counts[later].total for later in STAGES[1:]] == [counts[earlier].kept for earlier in STAGES[:-1]]
    rejected = Counter({reason: n for c in counts.values() for reason, n in c.rejected.items()})
    assert rejected == Counter(reason for reason in found.values() if reason != KEPT)
    assert read_manifest(folders["embedded"]).counts.kept == counts["scored"].kept

    documents = list(iter_documents(folders["captioned"]))
    assert len(documents) == counts["captioned"].kept == sum(r == KEPT for r in found.values())
    for document, media in documents:
        ((_, picture),) = [(s.member, s) for s in document.segments if s.kind == "image"]
        assert decode(media[picture.member]).size == (picture.width, picture.height)
    assert {path.name for path in tmp_path.parent.iterdir() if "up-" in path.name} == set()
