"""One URL: whatever a server does has an outcome, and limits hold."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra.errors import UserError
from jobs.fetch import hosts
from jobs.fetch.addresses import Address
from jobs.fetch.client import Client, user_agent
from jobs.fetch.outcome import Outcome
from jobs.recipe.sources import Fetch


def fetch_all(
    urls: list[str], limits: Fetch, folder: Path, permits: Callable[[Address], bool] | None = None
) -> list[Outcome]:
    """The outcomes of some URLs, fetched at once."""

    async def run() -> list[Outcome]:
        async with Client(limits, permits) as client:
            return await asyncio.gather(*(client.fetch(u, folder / str(n)) for n, u in enumerate(urls)))

    return asyncio.run(run())


CASES: dict[str, tuple[str, str | None, int | None, int]] = {
    # path: status, reason, HTTP status, attempts
    "/picture/0": ("kept", None, 200, 1),
    "/moved": ("kept", None, 200, 1),
    "/octets": ("kept", None, 200, 1),
    "/webp": ("kept", None, 200, 1),
    "/cookie": ("kept", None, 200, 1),
    "/loop": ("rejected", "too_many_redirects", None, 1),
    "/to-file": ("rejected", "bad_scheme", None, 1),
    "/to-nowhere": ("rejected", "bad_url", None, 1),
    "/to-empty-label": ("rejected", "bad_url", None, 1),
    "/no-place": ("rejected", "http_status", 302, 1),
    "/status/404": ("rejected", "gone", 404, 1),
    "/status/410": ("rejected", "gone", 410, 1),
    "/status/403": ("rejected", "forbidden", 403, 1),
    "/status/418": ("rejected", "http_status", 418, 1),
    "/status/204": ("rejected", "http_status", 204, 1),
    "/status/502": ("errored", "server_error", 502, 2),
    "/busy": ("kept", None, 200, 2),
    "/hiccup": ("kept", None, 200, 2),
    "/drip": ("errored", "timeout", None, 2),
    "/large": ("rejected", "too_many_bytes", 200, 1),
    "/unbounded": ("rejected", "too_many_bytes", 200, 1),
    "/reset": ("errored", "connection", None, 2),
    "/cut": ("errored", "connection", None, 2),
    "/garbage": ("errored", "connection", None, 2),
    "/html": ("rejected", "not_a_picture", 200, 1),
    "/svg": ("rejected", "not_a_picture", 200, 1),
    "/fake": ("rejected", "not_a_picture", 200, 1),
    "/empty": ("rejected", "not_a_picture", 200, 1),
    "/packed": ("rejected", "not_a_picture", 200, 1),
    "/odd-picture": ("kept", None, 200, 1),
    "/odd-page": ("rejected", "not_a_picture", 200, 1),
    "/odd-encoding": ("rejected", "not_a_picture", 200, 1),
    "/odd-date": ("errored", "server_error", 503, 2),
    "/noai": ("rejected", "noai", 200, 1),
    "/noai-ours": ("rejected", "noai", 200, 1),
    "/noai-others": ("kept", None, 200, 1),
}


@pytest.fixture(scope="module")
def outcomes(
    module_server: Any, limits: Callable[..., Fetch], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    # Under another name for the host: one that asks for a pause shall not hold up the others.
    urls = [module_server.url(path, "localhost" if path == "/busy" else "127.0.0.1") for path in CASES]
    found = fetch_all(urls, limits(), tmp_path_factory.mktemp("pictures"))
    return dict(zip(CASES, found, strict=True))


@pytest.mark.parametrize("path", CASES)
def test_whatever_a_server_does_has_an_outcome(path: str, outcomes: dict[str, Outcome]) -> None:
    found = outcomes[path]
    assert (found.status, found.reason, found.http_status, found.attempts) == CASES[path]
    assert (found.detail is None) == (found.reason is None)
    for text in (found.detail, found.content_type):
        assert (text or "").encode().decode() == (text or ""), "it can be stored"


def test_no_url_is_asked_more_often_than_its_attempts(
    module_server: Any, outcomes: dict[str, Outcome]
) -> None:
    asked = {path: module_server.requests[path] for path in CASES}
    hops = {"/loop": 4, "/picture/0": 1}
    assert asked == {path: hops.get(path, outcome.attempts) for path, outcome in outcomes.items()}


def test_what_is_kept_is_the_bytes_that_were_served(
    server: Any, limits: Callable[..., Fetch], make_picture: Callable[..., bytes], tmp_path: Path
) -> None:
    (found,) = fetch_all([server.url("/moved")], limits(), tmp_path)
    assert (tmp_path / "0").read_bytes() == make_picture(1)
    assert found.sha256 == hashlib.sha256(make_picture(1)).hexdigest()
    assert (found.bytes, found.suffix, found.content_type) == (len(make_picture(1)), "jpg", "image/jpeg")


def test_the_bytes_decide_about_the_suffix(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["/octets"].suffix == "png"
    assert outcomes["/webp"].suffix == "webp"


def test_of_an_endless_body_no_more_is_stored_than_the_limit(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path
) -> None:
    fetch_all([server.url("/unbounded")], limits(), tmp_path)
    assert (tmp_path / "0").stat().st_size <= limits().max_bytes


def test_a_host_that_asks_for_too_much_patience_is_left_to_a_later_round(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path
) -> None:
    urls = [server.url("/much-later"), *(server.url(f"/picture/{n}") for n in range(5))]
    first, *others = fetch_all(urls, limits(attempts=5, per_host=1), tmp_path)
    assert (first.status, first.reason, first.attempts) == ("errored", "busy", 1)
    assert {(o.status, o.reason, o.attempts) for o in others} == {("errored", "busy", 0)}
    assert server.requests == {"/much-later": 1}


def test_a_host_of_which_nothing_comes_is_not_asked_forever(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "MAX_FAILURES", 6)
    urls = [server.url(f"/reset/{number}") for number in range(30)]
    found = fetch_all(urls, limits(attempts=1, per_host=2), tmp_path)
    assert {outcome.status for outcome in found} == {"errored"}
    assert 6 <= sum(outcome.reason == "connection" for outcome in found) <= 7
    assert len(server.requests) == sum(outcome.attempts for outcome in found) < 10


def test_a_host_that_answers_now_and_then_is_asked_on(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "MAX_FAILURES", 6)
    urls = [server.url(f"/{'status/404' if n % 4 == 0 else f'reset/{n}'}") for n in range(30)]
    found = fetch_all(urls, limits(attempts=1, per_host=1), tmp_path)
    assert {outcome.reason for outcome in found} == {"gone", "connection"}


def test_a_dead_server_is_an_error_that_may_pass(limits: Callable[..., Fetch], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (found,) = fetch_all([f"http://127.0.0.1:{port}/"], limits(), tmp_path)
    assert (found.status, found.reason, found.attempts) == ("errored", "connection", 2)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/a.jpg", "bad_scheme"),
        ("file:///etc/passwd", "bad_scheme"),
        ("data:image/png;base64,AAAA", "bad_scheme"),
        ("a.jpg", "bad_scheme"),
        ("", "bad_scheme"),
        ("http://", "bad_url"),
        ("http://[::1", "bad_url"),
        ("http://a:99999999/", "bad_url"),
        ("http://127.1/", "bad_url"),
        ("http://2130706433/", "bad_url"),
        ("http://foo..example.com/x.jpg", "bad_url"),
        ("http://.example.com/a.jpg", "bad_url"),
        (f"http://{'a' * 64}.example.com/a.jpg", "bad_url"),
        ("http://\u2488.com/x", "bad_url"),
    ],
)
def test_what_is_no_url_of_the_web_is_refused(
    url: str, reason: str, limits: Callable[..., Fetch], tmp_path: Path
) -> None:
    (found,) = fetch_all([url], limits(), tmp_path)
    assert (found.status, found.reason, found.attempts) == ("rejected", reason, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_never_connected_to(
    host: str, server: Any, limits: Callable[..., Fetch], tmp_path: Path
) -> None:
    (found,) = fetch_all([server.url("/picture/0", host)], limits(private_addresses=False), tmp_path)
    assert (found.status, found.reason, found.attempts) == ("rejected", "private_address", 1)
    assert not server.requests


def test_a_redirect_to_an_address_that_is_not_permitted_is_refused(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path
) -> None:
    def only_the_server(address: Address) -> bool:
        return address == IPv4Address("127.0.0.1")

    urls = [server.url("/to-private"), server.url("/picture/0")]
    found = fetch_all(urls, limits(private_addresses=False), tmp_path, only_the_server)
    assert [outcome.reason for outcome in found] == ["private_address", None]


def test_a_name_that_turns_to_a_private_address_later_is_refused(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the first look at the name gives an address of the public internet, the second ours."""
    answers = iter(["127.0.0.3", "127.0.0.1"])
    looked_up = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    urls = [server.url("/picture/0", "example.com")]
    # 127.0.0.3 stands for the public address: nobody listens there.
    found = fetch_all(urls, limits(), tmp_path, lambda address: address == IPv4Address("127.0.0.3"))
    assert looked_up == ["example.com"], "what was judged is what is connected to: no second look"
    assert found[0].reason == "connection"
    assert not server.requests


def test_private_addresses_are_refused_however_many_there_are(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "MAX_FAILURES", 6)
    urls = [server.url(f"/picture/{number}") for number in range(20)]
    found = fetch_all(urls, limits(private_addresses=False), tmp_path)
    assert {outcome.reason for outcome in found} == {"private_address"}


def test_servers_are_told_who_asks_and_no_cookies(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path
) -> None:
    asked = limits(contact="https://example.com/crawler", connections=1)
    fetch_all([server.url("/cookie"), server.url("/cookie")], asked, tmp_path)
    for headers in server.headers:
        assert headers["User-Agent"] == user_agent("https://example.com/crawler")
        assert headers["User-Agent"].startswith("nextscale/")
        assert "https://example.com/crawler" in headers["User-Agent"]
        assert "Cookie" not in headers
        assert "Accept-Encoding" not in headers


def test_noai_is_the_recipes_choice(server: Any, limits: Callable[..., Fetch], tmp_path: Path) -> None:
    (found,) = fetch_all([server.url("/noai")], limits(respect_noai=False), tmp_path)
    assert found.status == "kept"


def test_a_host_is_asked_by_no_more_connections_than_allowed(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path
) -> None:
    urls = [server.url(f"/slow/{number}") for number in range(12)]
    found = fetch_all(urls, limits(per_host=3, timeout=20), tmp_path)
    assert {outcome.status for outcome in found} == {"kept"}
    assert 1 < server.most_at_once <= 3


def test_a_full_disk_is_no_fault_of_the_server(server: Any, limits: Callable[..., Fetch]) -> None:
    async def run() -> Outcome:
        async with Client(limits()) as client:
            return await client.fetch(server.url("/picture/0"), Path("/dev/full"))

    with pytest.raises(UserError, match=r"No space left on device.*set TMPDIR"):
        asyncio.run(run())


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    server: Any, limits: Callable[..., Fetch], tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate(tmp_path / "server.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url("/picture/0").replace("http:", "https:")
    (found,) = fetch_all([url], limits(attempts=1, timeout=20), tmp_path)
    assert (found.status, found.reason) == ("errored", "tls")
    assert not server.requests


def write_certificate(path: Path) -> Path:
    """A key, and a certificate for 127.0.0.1 that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path
