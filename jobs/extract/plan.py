"""What is extracted, from what, and by which settings."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from infra import storage
from infra.document import Document
from infra.errors import UserError
from infra.manifest import FileEntry, Manifest, Output, read_manifest
from jobs.attempts import Span
from jobs.curated import Media, iter_unit
from jobs.specs import TokensSettings
from jobs.units import Unit
from model.scales import ScaleSchedule


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know. Without pictures there is no tokenizer and no level."""

    output: Output
    tokenizer: str | None
    """Folder of the finished image tokenizer."""
    tokenizer_hash: str | None
    settings: TokensSettings
    seed: int
    session: str
    """Of `jobs.attempts`."""

    def schedules(self) -> tuple[ScaleSchedule, ...]:
        """The schedules of the level."""
        return self.settings.level.schedules() if self.settings.level else ()

    def provenance(self) -> dict[str, Any]:
        """What made the rows, for the files' metadata."""
        made_by = {"tokenizer": self.tokenizer_hash, "text_tokenizer": self.settings.text_tokenizer}
        if self.tokenizer is None:
            return made_by
        tokens = self.settings.tokens
        return {
            **made_by,
            "self_correction": tokens.self_correction.model_dump(),
            "device": tokens.device,
            "level": self.settings.level_name,
            "context_mode": self.settings.context_mode,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Tar:
    """A curated tar: the payload of a unit. `label` names it on every machine."""

    folder: str
    entry: FileEntry
    label: str


def tar_units(folders: Sequence[str]) -> list[Unit[Tar]]:
    """A unit for each tar of finished curated folders, named after it and, of several, its folder."""
    units = []
    for folder in folders:
        manifest = read_manifest(folder)
        prefix = _name(manifest) if len(folders) > 1 else ""
        for entry in manifest.files:
            if entry.path.endswith(".tar"):
                name = "-".join(filter(None, [prefix, PurePosixPath(entry.path).stem]))
                label = "/".join(filter(None, [prefix, entry.path]))
                units.append(Unit(name, Tar(folder, entry, label), max(1, entry.rows)))
    return units


def iter_span(tar: Tar, span: Span) -> Iterator[tuple[Document, Media]]:
    """The documents of a span of a tar; one in memory at a time.

    Raises:
        UserError: the tar cannot be read to its end. One that is cut between members only looks shorter.
    """
    found, why = 0, ""
    try:
        for pair in iter_unit(tar.folder, tar.entry.path):
            found += 1
            if span.start < found <= span.end:
                yield pair
    except (tarfile.TarError, ValueError, EOFError) as error:
        why = f", {error}"
    if found != tar.entry.rows:
        what = f"the shard is damaged: {found} of {tar.entry.rows} documents{why}"
        raise UserError(what, storage.join(tar.folder, tar.entry.path), "Remove its folder and curate again")


def _name(manifest: Manifest) -> str:
    """Asset and partition, fit for a file name."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", "-".join(filter(None, [manifest.asset, manifest.partition])))
