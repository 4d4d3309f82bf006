"""An S3 server on loopback that fails: a proxy before a real one answers 500, resets and dawdles.

What fails is drawn from a seed, request by request. A write that is cut off may have been done: the client
cannot know, as with a real service.
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

FAULTS = {"error": 0.06, "reset_before": 0.03, "reset_in_body": 0.04, "reset_after_write": 0.03, "slow": 0.04}
"""Share of the requests that each fault is meant for; a fault that does not fit a request leaves it alone."""

_HOP = {"connection", "transfer-encoding", "keep-alive"}


class FlakyProxy(ThreadingHTTPServer):
    """Passes requests on to `upstream`, but for those that a fault takes. Counts faults by name."""

    daemon_threads = True

    def __init__(self, upstream: str, seed: int, faults: dict[str, float]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.seen: Counter[str] = Counter()
        self._faults = faults
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.server_port}"

    def draw(self) -> str:
        """The fault of the next request; empty where there is none."""
        with self._lock:
            names, weights = list(self._faults), list(self._faults.values())
            return self._random.choices(["", *names], [1 - sum(weights), *weights])[0]

    def count(self, fault: str) -> None:
        """Take down that a fault happened."""
        with self._lock:
            self.seen[fault] += 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that were killed are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FlakyProxy

    def _handle(self) -> None:
        body = self._body()
        fault = self.server.draw()
        if fault == "error":
            self.server.count(fault)
            self._answer(500, {}, b"<Error><Code>InternalError</Code><Message>again</Message></Error>")
            return
        if fault == "reset_before":
            self._reset(fault)
            return
        status, headers, answer = self._pass_on(body)
        if fault == "reset_after_write" and self.command == "PUT":
            self._reset(fault)
        elif fault == "reset_in_body" and self.command == "GET" and len(answer) > 1:
            self._answer(status, headers, answer[: len(answer) // 2], of=len(answer))
            self._reset(fault)
        else:
            if fault == "slow":
                self.server.count(fault)
                time.sleep(0.5)
            self._answer(status, headers, answer)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _pass_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP | {"content-length"}}
        try:
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, of: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP | {"content-length", "date", "server"}:
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(of or len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self, fault: str) -> None:
        """Close so that the client sees a reset, not an end."""
        self.server.count(fault)
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def flaky(upstream: str, seed: int = 0, faults: dict[str, float] = FAULTS) -> Iterator[FlakyProxy]:
    """A flaky proxy while the block lasts."""
    proxy = FlakyProxy(upstream, seed, faults)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
