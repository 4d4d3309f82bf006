"""Which assets a user means: `t2i/filtered`, `t2i/*`, `+packs/pretrain`, `tokenizer/joint+`, commas."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from fnmatch import fnmatchcase

from assets.job_asset import JobAsset
from infra.errors import UserError


def select(assets: list[JobAsset], selection: str | None) -> list[JobAsset]:
    """The assets of a selection, in the order given; all where there is none.

    `+` before a name adds all that it is made from, `+` after it all that is made from it.

    Raises:
        UserError: a name matches no asset.
    """
    if not selection:
        return assets
    chosen: set[str] = set()
    for term in selection.split(","):
        chosen |= _select_term(assets, term.strip())
    return [asset for asset in assets if asset.key in chosen]


def _select_term(assets: list[JobAsset], term: str) -> set[str]:
    name = term.removeprefix("+").removesuffix("+")
    keys = {asset.key for asset in assets if fnmatchcase(asset.key, name)}
    if not keys:
        close = difflib.get_close_matches(name, [asset.key for asset in assets], n=1)
        mend = f"Did you mean {close[0]!r}?" if close else f"Assets: {', '.join(a.key for a in assets)}"
        raise UserError(f"no asset matches {name!r}", "--select", mend)
    upstream = {asset.key: set(asset.inputs) for asset in assets}
    downstream = {key: {other for other in upstream if key in upstream[other]} for key in upstream}
    found = set(keys)
    if term.startswith("+"):
        found |= _reach(keys, lambda key: upstream.get(key, set()))
    if term.endswith("+"):
        found |= _reach(keys, lambda key: downstream.get(key, set()))
    return found


def _reach(start: set[str], step: Callable[[str], set[str]]) -> set[str]:
    """Everything that repeated steps lead to."""
    seen: set[str] = set()
    waiting = set(start)
    while waiting:
        new = step(waiting.pop()) - seen
        seen |= new
        waiting |= new
    return seen
