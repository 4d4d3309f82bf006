"""A real server on loopback that speaks OpenAI's protocol, and answers what a test wants it to.

    with VlmServer(lambda seen: {"caption": f"{len(seen.pictures)} pictures"}) as server:
        vlm = open_vlm(server.settings(), None)

What the callable gives back is sent: a mapping or a model as JSON, a string as it is, and the classes
below as what goes wrong with servers.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from jobs.recipe.vlm import OpenAiEndpoint

MODEL = "judge"


@dataclass(frozen=True)
class Seen:
    """One request as the server has it: its pictures as bytes, and all its text."""

    pictures: tuple[bytes, ...]
    text: str
    answer: str
    """Name of the answer's model."""
    body: dict[str, Any]


@dataclass(frozen=True)
class Status:
    """An HTTP error."""

    code: int
    message: str = "so it is"
    headers: Mapping[str, str] = field(default_factory=dict)
    error_code: str | None = None


@dataclass(frozen=True)
class Message:
    """A completion whose message is not just an answer."""

    content: str | None = None
    refusal: str | None = None
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Body:
    """A reply with status 200 that is these bytes; `declared` more are promised and never come."""

    data: bytes
    declared: int = 0


class Reset:
    """The connection is reset."""


class Stall:
    """No answer comes."""


class Trickle:
    """An answer comes, byte by byte, without an end."""


Answer = Mapping[str, Any] | BaseModel | str | Status | Message | Body | Reset | Stall | Trickle


class VlmServer:
    """The server, as a context; `seen` has the questions in the order of their arrival.

    `requests` counts also those that were turned away: a wrong path, key or model.
    """

    def __init__(self, answer: Callable[[Seen], Answer], key: str | None = None) -> None:
        self.seen: list[Seen] = []
        self.requests = 0
        self.model = MODEL
        self.most_at_once = 0
        self._answer = answer
        self._key = key
        self._at_once = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        # Polled often only so that it ends at once.
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def settings(self, **changes: Any) -> OpenAiEndpoint:
        """A recipe's section that asks here: no key, and no long waits."""
        quick = {"base_url": self.url, "model": MODEL, "api_key": None, "retry_wait": 0.01, "timeout": 20}
        return OpenAiEndpoint(**(quick | changes))

    def respond(self, path: str, authorization: str, body: dict[str, Any]) -> Answer:
        """What a request is answered."""
        with self._lock:
            self.requests += 1
        if path != "/v1/chat/completions":
            return Status(404, "no such path")
        if self._key is not None and authorization != f"Bearer {self._key}":
            return Status(401, f"this is no key: {authorization}")
        if body["model"] != self.model:
            return Status(404, f"The model `{body['model']}` does not exist.", error_code="model_not_found")
        seen = _read(body)
        with self._lock:
            self.seen.append(seen)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self._answer(seen)
        finally:
            with self._lock:
                self._at_once -= 1

    def stall(self, seconds: float | None = None) -> bool:
        """Come back when the server ends, or after a while; whether it ends."""
        return self._closing.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients that leave are what the tests are about."""


def _read(body: dict[str, Any]) -> Seen:
    content = body["messages"][-1]["content"]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    pictures = tuple(base64.b64decode(url.partition(";base64,")[2]) for url in urls)
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    schema = body.get("response_format", {}).get("json_schema", {})
    return Seen(pictures, text, schema.get("name", ""), body)


def _handler(server: VlmServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = server.respond(self.path, self.headers.get("Authorization", ""), body)
            if isinstance(answer, Reset | Stall | Trickle):
                self.close_connection = True
                self._break(answer)
            else:
                self._send(*_reply(answer))

        def _send(self, status: int, data: bytes, headers: Mapping[str, str], declared: int = 0) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data) + declared))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = self.close_connection or bool(declared)

        def _break(self, answer: Reset | Stall | Trickle) -> None:
            if isinstance(answer, Reset):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            elif isinstance(answer, Stall):
                server.stall()
            else:
                self._send(200, b"", {}, declared=1 << 20)
                while not server.stall(0.05):
                    self.wfile.write(b" ")

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Handler


def _reply(answer: Mapping[str, Any] | BaseModel | str | Message | Status | Body) -> tuple[Any, ...]:
    """Status, body, headers, and how many bytes more are promised."""
    if isinstance(answer, Status):
        error = {"message": answer.message, "code": answer.error_code, "type": None, "param": None}
        return answer.code, json.dumps({"error": error}).encode(), answer.headers
    if isinstance(answer, Body):
        return 200, answer.data, {}, answer.declared
    return 200, json.dumps(_completion(answer)).encode(), {}


def _completion(answer: Mapping[str, Any] | BaseModel | str | Message) -> dict[str, Any]:
    if isinstance(answer, BaseModel):
        answer = answer.model_dump(mode="json")
    if isinstance(answer, Mapping):
        answer = json.dumps(answer)
    if isinstance(answer, str):
        answer = Message(answer)
    message = {"role": "assistant", "content": answer.content, "refusal": answer.refusal}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    return {
        "id": "one",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [choice],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
