"""What `nextscale generate` is asked to write, and the bars that tell how far it is."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from infra.errors import UserError

if TYPE_CHECKING:
    from model.transformer.generate import Progress
    from pipelines.cli.console import View


class Mode(StrEnum):
    """What is wanted."""

    picture = "picture"
    text = "text"
    think = "think"
    interleaved = "interleaved"


def choose_mode(*, text: bool, think: bool, interleaved: bool) -> Mode:
    """A picture, if nothing else is said.

    Raises:
        UserError: more than one thing is said.
    """
    chosen = [mode for mode, on in zip(list(Mode)[1:], (text, think, interleaved), strict=True) if on]
    if len(chosen) > 1:
        names = " and ".join(f"--{mode}" for mode in chosen)
        raise UserError(f"{names} exclude each other", "generate", "Choose one")
    return chosen[0] if chosen else Mode.picture


def watch_writing(view: View, name: str, mode: Mode) -> Progress:
    """Begin a bar of scales, one of tokens or both, as a mode writes pictures, text or both."""
    units = {Mode.picture: ["scales"], Mode.text: ["tokens"]}.get(mode, ["tokens", "scales"])
    reports = {unit: view.watch(name, unit if len(units) > 1 else None) for unit in units}
    return lambda done, most, unit: reports[unit].progress(done, most, unit)
