"""A real HTTP server on loopback that behaves in every way that servers do."""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from infra.job import JobSpec, Resources
from infra.manifest import Output
from infra.reporter import SilentReporter
from infra.storage import list_files
from jobs.fetch.run import run
from jobs.recipe.sources import Fetch, Source
from jobs.sources.discover import list_shards
from jobs.sources.shards import publish_shards
from jobs.specs.fetch import FetchSettings

MAX_BYTES = 20_000


def picture(seed: int = 0, kind: str = "JPEG") -> bytes:
    """A small picture, another one for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    """Answers by path; `/picture/<seed>` is a JPEG."""

    server: PictureServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.server.asked:
            self.server.requests[self.path] += 1
            self.server.headers.append(dict(self.headers))
            number = self.server.requests[self.path]
            self.server.asked.notify_all()
        _, name, *rest = self.path.split("/")
        if self.path in self.server.down:
            self.say(503)
        elif name == "picture":
            self.say(200, picture(int(rest[0])), {"Content-Type": "image/jpeg"})
        else:
            self.server.answers[name](self, number)

    def say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for header, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def begin(self, length: int | None) -> None:
        """The head of a picture; without a length its end is the end of the connection."""
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class PictureServer(ThreadingHTTPServer):
    """Counts the requests of each path; paths in `down` answer 503."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = threading.Condition()
        self.requests: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.down: set[str] = set()
        self.answers: dict[str, Callable[[Handler, int], None]] = ANSWERS
        self.patience = time.monotonic()
        self.at_once = self.most_at_once = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested."""


def _redirect(place: str) -> Callable[[Handler, int], None]:
    return lambda handler, _: handler.say(302, b"", {"Location": place})


def _tagged(tag: str) -> Callable[[Handler, int], None]:
    return lambda handler, _: handler.say(200, picture(), {"Content-Type": "image/jpeg", "X-Robots-Tag": tag})


def _typed(content_type: str, body: bytes, **headers: str) -> Callable[[Handler, int], None]:
    return lambda handler, _: handler.say(200, body, {"Content-Type": content_type, **headers})


def _busy(handler: Handler, number: int) -> None:
    """Gives the picture only to who has waited as long as asked."""
    if number == 1:
        handler.server.patience = time.monotonic() + 1
    if time.monotonic() < handler.server.patience:
        handler.say(429, b"", {"Retry-After": "1"})
    else:
        handler.say(200, picture(), {"Content-Type": "image/jpeg"})


def _hiccup(handler: Handler, number: int) -> None:
    if number == 1:
        handler.say(500)
    else:
        handler.say(200, picture(), {"Content-Type": "image/jpeg"})


def _drip(handler: Handler, _: int) -> None:
    handler.begin(1000)
    for byte in picture()[:1000]:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)


def _slow(handler: Handler, _: int) -> None:
    server = handler.server
    with server.asked:
        server.at_once += 1
        server.most_at_once = max(server.most_at_once, server.at_once)
    time.sleep(0.05)
    with server.asked:
        server.at_once -= 1
    handler.say(200, picture(), {"Content-Type": "image/jpeg"})


def _last(handler: Handler, _: int) -> None:
    """A picture that comes when as many URLs were asked for as the path says."""
    enough = int(handler.path.rpartition("/")[2])
    with handler.server.asked:
        handler.server.asked.wait_for(lambda: len(handler.server.requests) >= enough, 20)
    handler.say(200, picture(), {"Content-Type": "image/jpeg"})


def _unbounded(handler: Handler, _: int) -> None:
    handler.begin(None)
    for _block in range(10_000):
        handler.wfile.write(picture() * 10)


def _reset(handler: Handler, _: int) -> None:
    handler.begin(1000)
    handler.wfile.write(picture()[:300])
    handler.wfile.flush()
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


def _garbage(handler: Handler, _: int) -> None:
    handler.wfile.write(b"no HTTP at all\r\n\r\n")
    handler.close_connection = True


def _cut(handler: Handler, _: int) -> None:
    handler.begin(1000)
    handler.wfile.write(picture()[:300])


ANSWERS: dict[str, Callable[[Handler, int], None]] = {
    "status": lambda handler, _: handler.say(int(handler.path.rpartition("/")[2])),
    "moved": _redirect("/picture/1"),
    "loop": _redirect("/loop"),
    "to-file": _redirect("file:///etc/passwd"),
    "to-nowhere": _redirect("http://[::1"),
    "to-empty-label": _redirect("http://a..b/"),
    "to-private": lambda handler, _: handler.say(
        302, b"", {"Location": handler.server.url("/picture/1", "127.0.0.2")}
    ),
    "no-place": lambda handler, _: handler.say(302),
    "busy": _busy,
    "much-later": lambda handler, _: handler.say(429, b"", {"Retry-After": "9999"}),
    "hiccup": _hiccup,
    "drip": _drip,
    "last": _last,
    "slow": _slow,
    "large": _typed("image/jpeg", picture() * 40),
    "unbounded": _unbounded,
    "reset": _reset,
    "cut": _cut,
    "garbage": _garbage,
    "html": _typed("text/html; charset=utf-8", b"<html>"),
    "svg": _typed("image/svg+xml", b"<svg/>"),
    "octets": _typed("application/octet-stream", picture(2, "PNG")),
    "webp": _typed("image/jpeg", picture(3, "WEBP")),
    "fake": _typed("image/jpeg", b"<html>not found</html>"),
    "empty": _typed("image/jpeg", b""),
    "packed": _typed("image/jpeg", picture(), **{"Content-Encoding": "gzip"}),
    "odd-picture": _typed("image/jp\xe9g", picture()),
    "odd-page": _typed("text/ht\xe9ml", b"<html>"),
    "odd-encoding": _typed("image/jpeg", picture(), **{"Content-Encoding": "\xe9"}),
    "odd-date": lambda handler, _: handler.say(
        503, b"", {"Retry-After": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}
    ),
    "noai": _tagged("noai"),
    "noai-ours": _tagged("nextscale: noimageai"),
    "noai-others": _tagged("otherbot: noai, noindex"),
    "cookie": lambda handler, _: handler.say(
        200, picture(), {"Content-Type": "image/jpeg", "Set-Cookie": "who=you"}
    ),
}


@pytest.fixture
def server() -> Iterator[PictureServer]:
    """A fresh server for each test."""
    with PictureServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def module_server() -> Iterator[PictureServer]:
    """One server for the tests of a module."""
    with PictureServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def limits() -> Callable[..., Fetch]:
    """Small limits that permit loopback: `limits(attempts=1)`."""

    def make(**settings: Any) -> Fetch:
        small: dict[str, Any] = {
            "max_bytes": MAX_BYTES,
            "timeout": 0.8,
            "attempts": 2,
            "redirects": 3,
            "private_addresses": True,
        }
        return Fetch(**(small | settings))

    return make


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., bytes]:
    """The bytes that `/picture/<seed>` serves."""
    return picture


@pytest.fixture
def write_list(tmp_path: Path) -> Callable[..., Path]:
    """Write a Parquet file with these columns into the folder `list`; return the folder."""

    def write(name: str = "part-0.parquet", **columns: Any) -> Path:
        folder = tmp_path / "list"
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), folder / name)
        return folder

    return write


@pytest.fixture
def fetch(ray_session: None, tmp_path: Path) -> Callable[..., str]:
    """Fetch the whole of a source as one drop; return the output folder."""

    def run_job(
        source: Source, name: str = "out", family: str = "t2i", workers: int | None = None, cache: bool = True
    ) -> str:
        raw = str(tmp_path / f"raw-{name}")
        publish_shards(Output(raw), list_shards(family, source))
        spec = JobSpec[FetchSettings](
            asset=f"{family}/fetched",
            partition=f"{family}-0000",
            fingerprint="f",
            inputs={f"raw/{family}": [raw]},
            output=str(tmp_path / name),
            cache=str(tmp_path / "cache") if cache else None,
            settings=FetchSettings(source=source),
            resources=Resources(workers=workers),
        )
        run(spec, SilentReporter())
        return spec.output

    return run_job


@pytest.fixture
def read_all() -> Callable[[str], dict[str, bytes]]:
    """The files below a folder by relative path."""

    def read(folder: str) -> dict[str, bytes]:
        return {f.uri.removeprefix(folder): Path(f.uri).read_bytes() for f in list_files(folder)}

    return read
