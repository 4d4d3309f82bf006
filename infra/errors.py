"""Errors a user can act on: what went wrong, where, and how to mend it."""

from __future__ import annotations


class UserError(Exception):
    """A failure the user can mend.

    Prints as one line, `where: what. mend.`, without a traceback unless `--debug` asks for it.
    Plain arguments keep it picklable, so that it crosses Ray workers unchanged.
    """

    def __init__(self, what: str, where: str = "", mend: str = "") -> None:
        super().__init__(what, where, mend)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mend = f". {self.mend}" if self.mend else ""
        return f"{place}{self.what}{mend}".replace("\n", " ")
