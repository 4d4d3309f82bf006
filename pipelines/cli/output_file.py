"""The file that a command writes at its end: checked before the work, so that minutes are not lost."""

from __future__ import annotations

from pathlib import Path

from infra.errors import UserError

_FORMS = {".png": ("picture", "PNG"), ".md": ("document", "Markdown")}


def require_writable(out: Path, suffix: str) -> None:
    """A file of this suffix, `.png` or `.md`, can be written there.

    Raises:
        UserError: it has another suffix, is a folder, or would lie in none.
    """
    what, form = _FORMS[suffix]
    if out.suffix.lower() != suffix:
        raise UserError(f"the {what} is written as {form}", str(out), f"Give a name that ends in {suffix}")
    if out.is_dir():
        raise UserError("is a folder", str(out), "Give the name of a file")
    if not out.absolute().parent.is_dir():
        raise UserError("no such folder", str(out.absolute().parent), "Make it, or choose another --out")
