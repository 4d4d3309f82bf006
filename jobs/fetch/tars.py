"""The tars of one unit, cut by size in the order of its links: the same pictures give the same bytes."""

from __future__ import annotations

import asyncio

from infra.manifest import FileEntry, Output
from jobs.fetch.ledger import Row
from jobs.sources.fetched import Link, picture_members, pictures_tar

TAR_BYTES = 128 << 20
"""Picture bytes in one tar, which a worker holds in memory until it is published."""


class TarWriter:
    """Collects pictures and publishes a tar whenever one is full; an empty tar where none came."""

    def __init__(self, output: Output, unit: str, tar_bytes: int = TAR_BYTES) -> None:
        self._output = output
        self._unit = unit
        self._tar_bytes = tar_bytes
        self._pictures = self._held = 0
        self._members: dict[str, bytes] = {}
        self.files: list[FileEntry] = []

    async def add(self, link: Link, suffix: str, picture: bytes) -> Row:
        """Append a picture; return its place, `tar` and `member`."""
        if self._members and self._held + len(picture) > self._tar_bytes:
            await self.publish()
        members = picture_members(f"{self._pictures:09d}", suffix, link, picture)
        self._members |= members
        self._pictures += 1
        self._held += len(picture)
        return {"tar": self._path(), "member": list(members)[-1]}

    async def publish(self) -> None:
        """Publish the tar at hand and begin the next. In a thread, for fetching goes on meanwhile."""
        self.files.append(await asyncio.to_thread(self._write, self._path(), self._members))
        self._members, self._held = {}, 0

    def _write(self, path: str, members: dict[str, bytes]) -> FileEntry:
        return self._output.publish(path, pictures_tar(members), len(members) // 2)

    def _path(self) -> str:
        return f"data/{self._unit}-{len(self.files):03d}.tar"
