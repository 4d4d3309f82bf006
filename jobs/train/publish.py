"""A folder of files that a model wrote, published one by one."""

from __future__ import annotations

from pathlib import Path

from infra.manifest import FileEntry, Output


def publish_folder(output: Output, folder: str, name: str) -> list[FileEntry]:
    """Publish the files of a local folder under `name/`, in alphabetical order."""
    return [
        output.publish(f"{name}/{path.name}", path.read_bytes()) for path in sorted(Path(folder).iterdir())
    ]
