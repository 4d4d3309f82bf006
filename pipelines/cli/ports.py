"""Which ports of this machine are free. A second web server on a port would start and fight."""

from __future__ import annotations

import socket

from infra.errors import UserError

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether nothing listens on the port of the loopback interface."""
    with socket.socket() as probe:
        # Without it a port counts as taken for a minute after its last connection.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def next_free(port: int) -> int:
    """The first free port above this one.

    Raises:
        UserError: there is none.
    """
    for candidate in range(port + 1, 65536):
        if is_free(candidate):
            return candidate
    raise UserError(f"no port above {port} is free", "--port", "Choose a lower one")


def require_free(port: int) -> None:
    """Raises UserError with the next free port where this one is taken."""
    if not is_free(port):
        raise UserError(f"port {port} is in use", "--port", f"Try --port {next_free(port)}")
