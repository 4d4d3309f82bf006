"""One way to name, read, list and publish files, local or on S3.

A URI is a plain string: a local path, or `s3://bucket/key`. Publishing is atomic: a reader sees the
whole file or none of it. Locally that is a temporary file, `fsync` and rename; on S3 it is one PUT,
which the service makes visible only when it is complete.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import fsspec

from infra.errors import UserError

T = TypeVar("T")

TEMPORARY_PREFIX = ".publishing-"
"""Names that start so belong to an unfinished publish; listings leave them out."""

S3_ATTEMPTS = 8
"""Tries of one S3 request before its error is shown; botocore waits between them, with jitter."""


@dataclass(frozen=True)
class FileInfo:
    """One stored file: its URI, its size in bytes, and a mark that changes when its content does."""

    uri: str
    bytes: int
    version: str


def is_remote(uri: str) -> bool:
    """Whether the URI names an object store rather than a local path."""
    return "://" in uri


def join(uri: str, *parts: str) -> str:
    """Append path parts to a URI.

    Raises:
        ValueError: a part is absolute or climbs with `..`, so that names read from untrusted files
            cannot leave the folder they are given.
    """
    for part in parts:
        if part.startswith("/") or ".." in part.split("/"):
            raise ValueError(f"path part {part!r} leaves its folder")
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts if part)])


def exists(uri: str) -> bool:
    """Whether a file is there. A missing bucket is an error, not an absence."""
    return _guard(uri, lambda fs, path: bool(fs.isfile(path)))


def read_bytes(uri: str, limit: int | None = None) -> bytes:
    """The whole file. With `limit`, a larger file is an error before it is read.

    Raises:
        UserError: the file is missing, unreadable or larger than `limit` bytes.
    """

    def read(fs: Any, path: str) -> bytes:
        size = fs.size(path)
        if limit is not None and size > limit:
            raise UserError(f"{size} bytes exceed the limit of {limit}", uri)
        return bytes(fs.cat_file(path))

    return _guard(uri, read)


def read_range(uri: str, start: int, length: int) -> bytes:
    """`length` bytes from offset `start`, without reading the rest of the file."""
    return _guard(uri, lambda fs, path: bytes(fs.cat_file(path, start=start, end=start + length)))


def open_input(uri: str) -> IO[bytes]:
    """A seekable binary stream that fetches blocks as they are asked for."""
    return _guard(uri, lambda fs, path: cast("IO[bytes]", fs.open(path, "rb")))


def list_files(uri: str) -> list[FileInfo]:
    """Every file below a folder, sorted by URI. Unfinished publishes and links to nothing are left out.

    A local folder that does not exist has no files; a missing bucket is an error.
    """

    def find(fs: Any, path: str) -> list[FileInfo]:
        found = fs.find(path, detail=True)
        base = path.rstrip("/") + "/"
        rows = (
            _listed(join(uri, name[len(base) :]), info)
            for name, info in found.items()
            if name.startswith(base) and not Path(name).name.startswith(TEMPORARY_PREFIX)
        )
        return sorted((row for row in rows if row is not None), key=lambda row: row.uri)

    return _guard(uri, find)


def file_info(uri: str) -> FileInfo:
    """Size and version of one file.

    Raises:
        UserError: there is no such file.
    """
    return _guard(uri, lambda fs, path: FileInfo(uri, int((i := fs.info(path))["size"]), _version(i)))


def publish_bytes(uri: str, data: bytes) -> str:
    """Write a file so that it appears whole or not at all; return its SHA-256.

    Publishing over an existing file replaces it.
    """
    publish_parts(uri, [data])
    return hashlib.sha256(data).hexdigest()


def publish_parts(uri: str, parts: Sequence[bytes | memoryview]) -> None:
    """Write a file of several parts, as `publish_bytes` does, but without reading them for a checksum."""
    if is_remote(uri):
        _guard(uri, lambda fs, path: fs.pipe_file(path, b"".join(parts)))
    else:
        _guard(uri, lambda _fs, path: _publish_local(Path(path), parts))


def remove(uri: str) -> None:
    """Remove a file, or a folder with all that is below it. Where there is none, nothing happens."""
    _guard(uri, lambda fs, path: fs.rm(path, recursive=True) if fs.exists(path) else None)


@contextmanager
def local_copy(uri: str, folder: str) -> Iterator[Path]:
    """A local path with the file's content: the file itself, or a download that is removed after."""
    if not is_remote(uri):
        yield Path(uri)
        return
    target = Path(folder) / secrets.token_hex(8)
    try:
        _guard(uri, lambda fs, path: fs.get_file(path, str(target)))
        yield target
    finally:
        target.unlink(missing_ok=True)


def sha256(uri: str) -> str:
    """SHA-256 of a file's content, in hex, read in blocks."""
    digest = hashlib.sha256()
    with open_input(uri) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def clear_unfinished(uri: str) -> None:
    """Remove what killed publishes left below a local folder. S3 keeps no partial objects."""
    if not is_remote(uri):
        for leftover in Path(uri).rglob(f"{TEMPORARY_PREFIX}*"):
            leftover.unlink(missing_ok=True)


def _publish_local(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        with temporary.open("wb") as stream:
            stream.writelines(parts)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _listed(uri: str, info: dict[str, Any]) -> FileInfo | None:
    """A file of a listing; None for a link that leads nowhere, and for what is removed meanwhile."""
    try:
        return FileInfo(uri, int(info["size"]), _version(info))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise


def _version(info: dict[str, Any]) -> str:
    """S3's entity tag, or the modification time: what changes when a file is written anew."""
    if tag := info.get("ETag"):
        return str(tag).strip('"')
    return str(os.stat(info["name"]).st_mtime_ns)


def _filesystem(uri: str) -> tuple[Any, str]:
    if not is_remote(uri):
        return fsspec.filesystem("file"), os.path.abspath(os.path.expanduser(uri))
    scheme = uri.split("://", 1)[0]
    if scheme != "s3":
        raise UserError(f"storage {scheme!r} is not supported", uri, "Use a local path or s3://bucket/key")
    try:
        fs = fsspec.filesystem(
            "s3", config_kwargs={"retries": {"mode": "standard", "max_attempts": S3_ATTEMPTS}}
        )
    except ImportError as error:
        raise UserError("S3 needs s3fs", uri, "pip install 'nextscale[s3]'") from error
    # Listings are cached by default; other processes publish while we look.
    fs.invalidate_cache()
    return fs, uri.split("://", 1)[1]


def _guard(uri: str, act: Callable[[Any, str], T]) -> T:
    """Run a storage action and turn its failure into one line that says how to mend it."""
    fs, path = _filesystem(uri)
    try:
        return act(fs, path)
    except UserError:
        raise
    except Exception as error:
        raise _explain(uri, error) from error


def _explain(uri: str, error: Exception) -> Exception:
    if is_remote(uri):
        return _explain_s3(uri, error)
    if isinstance(error, FileNotFoundError):
        return UserError("no such file or folder", uri, "Check the path")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError("the disk is full", uri, "Free space or choose another home, then run again")
    if isinstance(error, PermissionError):
        return UserError("access denied", uri, "Check the file's owner and permissions")
    return error


def _explain_s3(uri: str, error: Exception) -> Exception:
    bucket = uri.split("://", 1)[1].split("/", 1)[0]
    text = f"{error} {error.__cause__ or ''} {error.__context__ or ''}"
    name = type(error).__name__
    if name == "NoCredentialsError" or "Unable to locate credentials" in text:
        return UserError(
            "no S3 credentials", uri, "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
        )
    if "bucket does not exist" in text or "NoSuchBucket" in text:
        return UserError(f"bucket {bucket!r} does not exist", uri, "Create it or correct the name")
    if isinstance(error, PermissionError) or "AccessDenied" in text or "Forbidden" in text:
        return UserError("access denied", uri, "Check the credentials and the bucket's policy")
    if name in {"EndpointConnectionError", "ConnectTimeoutError", "ConnectionError"}:
        return UserError("the S3 endpoint does not answer", uri, "Check AWS_ENDPOINT_URL and the network")
    if isinstance(error, FileNotFoundError):
        return UserError("no such file", uri, "Check the key")
    return error
