"""What became of one URL."""

from __future__ import annotations

from dataclasses import dataclass

from infra.catalogue import Status


@dataclass(frozen=True)
class Outcome:
    """The ledger's words on one URL; a kept one has the picture's size, checksum and suffix."""

    status: Status
    reason: str | None = None
    detail: str | None = None
    http_status: int | None = None
    attempts: int = 0
    bytes: int | None = None
    sha256: str | None = None
    content_type: str | None = None
    suffix: str | None = None


class RefusedError(Exception):
    """There is no picture to be had here, however often one asks."""

    def __init__(self, reason: str, detail: str, http_status: int | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.http_status = http_status


class TroubleError(Exception):
    """No answer, or none for now: another try may bring the picture.

    `wait` is what the server asks for, in seconds; `asked` is false where it was not even asked.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        http_status: int | None = None,
        wait: float | None = None,
        asked: bool = True,
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.http_status = http_status
        self.wait = wait
        self.asked = asked
