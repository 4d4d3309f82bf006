"""One URL and one picture: redirects, limits, retries. Whatever a server does is an outcome."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from infra.errors import UserError
from jobs.fetch.addresses import Address, PrivateAddressError, any_address, guarded_sockets, is_public
from jobs.fetch.answers import (
    AGENT,
    HEAD_BYTES,
    check_robots,
    check_status,
    check_type,
    header_text,
    suffix_of,
)
from jobs.fetch.hosts import MAX_WAIT, Hosts
from jobs.fetch.outcome import Outcome, RefusedError, TroubleError
from jobs.recipe.sources import Fetch

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK = 1 << 16
_ACCEPT = "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/tiff,*/*;q=0.1"


class Client:
    """Fetches pictures within the limits of a recipe. Use as an async context manager, in one event loop.

    `permits` says which addresses may be connected to; left out, the recipe does.
    """

    def __init__(self, limits: Fetch, permits: Callable[[Address], bool] | None = None) -> None:
        self.limits = limits
        self._permits = permits or (any_address if limits.private_addresses else is_public)
        self._hosts = Hosts(limits.connections, limits.per_host)

    async def __aenter__(self) -> Self:
        # Names of dead hosts take long to resolve, and each takes a thread.
        threads = ThreadPoolExecutor(self.limits.connections, "resolve")
        asyncio.get_running_loop().set_default_executor(threads)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=guarded_sockets(self._permits)),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent(self.limits.contact), "Accept": _ACCEPT},
            skip_auto_headers=["Accept-Encoding"],
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def fetch(self, url: str, path: Path) -> Outcome:
        """Fetch one picture into a file, which is only worth something where the outcome is `kept`."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(url, path, attempt)
            except RefusedError as no:
                return Outcome("rejected", no.reason, no.detail, no.http_status, attempt)
            except TroubleError as trouble:
                wait = _wait(attempt, trouble.wait)
                if attempt >= self.limits.attempts or wait > MAX_WAIT:
                    asked = attempt if trouble.asked else attempt - 1
                    return Outcome("errored", trouble.reason, trouble.detail, trouble.http_status, asked)
            await asyncio.sleep(wait)

    async def _attempt(self, text: str, path: Path, attempt: int) -> Outcome:
        """Follow one URL to its picture; the time limit is of the requests, not of waiting for a turn."""
        left = self.limits.timeout
        url = parse_url(text)
        for _ in range(self.limits.redirects + 1):
            async with self._hosts.turn(str(url.host)):
                started = asyncio.get_running_loop().time()
                found = await self._ask(url, path, attempt, left)
                left -= asyncio.get_running_loop().time() - started
            if isinstance(found, Outcome):
                return found
            url = found
        raise RefusedError("too_many_redirects", f"more than {self.limits.redirects}")

    async def _ask(self, url: URL, path: Path, attempt: int, seconds: float) -> Outcome | URL:
        """One request: a picture, or where to ask instead."""
        try:
            async with asyncio.timeout(seconds), self._session.get(url, allow_redirects=False) as response:
                found = await self._receive(response, path, attempt)
        except RefusedError:
            self._hosts.answered(str(url.host))
            raise
        except TroubleError as trouble:
            self._hosts.answered(str(url.host), trouble.wait or 0.0)
            raise
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            told = self._explain(error)
            if isinstance(told, TroubleError):
                self._hosts.failed(str(url.host))
            raise told from error
        self._hosts.answered(str(url.host))
        return found

    async def _receive(self, response: aiohttp.ClientResponse, path: Path, attempt: int) -> Outcome | URL:
        status, headers = response.status, response.headers
        if self.limits.respect_noai:
            check_robots(headers.getall("X-Robots-Tag", ()), status)
        if status in _REDIRECTS and "Location" in headers:
            return parse_url(headers["Location"], response.url)
        check_status(status, headers)
        content_type = header_text(headers, "Content-Type").partition(";")[0].strip()
        check_type(content_type, header_text(headers, "Content-Encoding"), status)
        size, sha256, head = await self._save(response, path)
        return Outcome(
            "kept",
            http_status=status,
            attempts=attempt,
            bytes=size,
            sha256=sha256,
            content_type=content_type or None,
            suffix=suffix_of(head, status),
        )

    async def _save(self, response: aiohttp.ClientResponse, path: Path) -> tuple[int, str, bytes]:
        """Write the body to the file as it comes; return its size, its checksum and its first bytes."""
        self._check_size(response.content_length or 0, response.status)
        size, head, checksum = 0, b"", hashlib.sha256()
        with path.open("wb", buffering=0) as file:
            async for chunk in response.content.iter_chunked(_CHUNK):
                size += len(chunk)
                self._check_size(size, response.status)
                head += chunk[: HEAD_BYTES - len(head)]
                checksum.update(chunk)
                _write(file, chunk, path)
        return size, checksum.hexdigest(), head

    def _check_size(self, size: int, status: int) -> None:
        if size > self.limits.max_bytes:
            # Not how many: of a body that comes in pieces, that depends on the pieces.
            raise RefusedError("too_many_bytes", f"the limit is {self.limits.max_bytes}", status)

    def _explain(self, error: aiohttp.ClientError | OSError | UnicodeError) -> RefusedError | TroubleError:
        """The same words for the same cause: an error's own text may name a port, or what came first."""
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if isinstance(cause, PrivateAddressError):
            return RefusedError("private_address", str(cause))
        if isinstance(error, aiohttp.InvalidURL | UnicodeError):
            return RefusedError("bad_url", "not a URL that can be asked for")
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return TroubleError("unresolved", "the host has no address")
        if isinstance(error, aiohttp.ClientSSLError):
            return TroubleError("tls", "no trustworthy connection")
        if isinstance(error, TimeoutError):
            return TroubleError("timeout", f"no picture within {self.limits.timeout:g} s")
        return TroubleError("connection", "the connection failed or broke off")


def user_agent(contact: str = "") -> str:
    """What we tell servers about ourselves."""
    about = f"; {contact}" if contact else ""
    return f"{AGENT}/{version('nextscale')} (pictures for training an image model{about})"


def parse_url(text: str, base: URL | None = None) -> URL:
    """A URL that may be asked for, taken relative to another if given.

    Raises:
        RefusedError: `bad_url`, or `bad_scheme` where it is not HTTP.
    """
    try:
        url = URL(text.strip()) if base is None else base.join(URL(text.strip()))
        host, _port = url.host, url.port
        # Names that the resolver takes: no empty label, none of over 63 letters.
        (url.raw_host or "").encode("idna")
    except ValueError as error:
        raise RefusedError("bad_url", "not a URL") from error
    if url.scheme not in ("http", "https"):
        raise RefusedError("bad_scheme", f"{url.scheme[:20] or 'no scheme'}, not http or https")
    if not host:
        raise RefusedError("bad_url", "no host")
    return url


def _write(file: FileIO, chunk: bytes, path: Path) -> None:
    """Write a chunk. A disk that fails is no fault of the server, and no outcome of its URL."""
    try:
        while chunk:
            chunk = chunk[file.write(chunk) :]
    except OSError as error:
        mend = "Free space there, or set TMPDIR, then run again"
        raise UserError(f"cannot keep pictures: {error.strerror}", str(path.parent), mend) from error


def _wait(attempt: int, asked: float | None) -> float:
    """Seconds until the next attempt: doubled each time, or what the server asked for; never in step."""
    if asked is not None:
        return asked + random.uniform(0, 0.25)
    return min(2.0 ** (attempt - 1), 60.0) * random.uniform(0.25, 0.75)
