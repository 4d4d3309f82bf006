"""Curated documents as WebDataset tars: the same documents give the same bytes.

A tar holds, for each document in the order of sample ids, its media with the original bytes
(`<id>.0.jpg`) and the document itself (`<id>.json`). Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator

from PIL import Image

from infra import storage
from infra.document import Document, ImageSegment, format_id
from infra.manifest import read_manifest
from jobs.images import decode

Media = dict[str, bytes]
"""Original bytes by tar member."""


def tar_bytes(documents: Iterable[tuple[Document, Media]]) -> bytes:
    """A reproducible tar of documents: ordered by sample id, fixed times, owners and modes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for document, media in sorted(documents, key=lambda pair: pair[0].sample_id):
            for name in sorted(media):
                _add(tar, name, media[name])
            text = document.model_dump_json().encode()
            _add(tar, f"{format_id(document.sample_id)}.json", text)
    return buffer.getvalue()


def captioned_units(folder: str) -> list[str]:
    """Paths of the tars of a finished captioned folder, relative to it, in order."""
    return read_manifest(folder).paths(".tar")


def iter_unit(folder: str, tar_path: str) -> Iterator[tuple[Document, Media]]:
    """The documents of one tar, each with its media by member; one document in memory at a time.

    Raises:
        ValueError: a document lacks a member it names.
    """
    with (
        storage.open_input(storage.join(folder, tar_path)) as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        media: Media = {}
        for member in tar:
            content = tar.extractfile(member)
            data = content.read() if content else b""
            if not member.name.endswith(".json"):
                media[member.name] = data
                continue
            document = Document.model_validate_json(data)
            _check(document, media, tar_path)
            yield document, media
            media = {}


def iter_documents(folder: str) -> Iterator[tuple[Document, Media]]:
    """The documents of a finished captioned folder, unit by unit."""
    for tar_path in captioned_units(folder):
        yield from iter_unit(folder, tar_path)


def first_picture(document: Document, media: Media) -> Image.Image:
    """The first picture of a curated document. Its size was accepted, whatever other recipes accept.

    Raises:
        DecodeError: its bytes are no longer those that were curated.
    """
    image = next(segment for segment in document.segments if isinstance(segment, ImageSegment))
    return decode(media[image.member], image.width * image.height)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    header.mode = 0o644
    tar.addfile(header, io.BytesIO(data))


def _check(document: Document, media: Media, place: str) -> None:
    named = {s.member for s in document.segments if isinstance(s, ImageSegment)}
    if named != media.keys():
        raise ValueError(f"{place}: document {format_id(document.sample_id)} names {named}, has {set(media)}")
