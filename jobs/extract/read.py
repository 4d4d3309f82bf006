"""Where the rows of a finished extraction are."""

from __future__ import annotations

from infra.manifest import read_manifest

CATALOGUE = "data/catalogue.parquet"


def token_files(folder: str) -> list[str]:
    """Paths of the token files of a finished tokens folder, relative to it, in order."""
    return [path for path in read_manifest(folder).paths(".parquet") if path != CATALOGUE]
