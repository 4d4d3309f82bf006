"""What `--select` accepts, turned into what the planner takes: an asset and all it needs upstream."""

from __future__ import annotations

import difflib
import fnmatch
from typing import TYPE_CHECKING

from infra.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assets.job_asset import JobAsset

GROUP = "group:"


def with_upstream(selection: str, assets: Sequence[JobAsset]) -> str:
    """Asset keys as `+key` terms for the planner.

    Args:
        selection: terms separated by commas: a key (`t2i/captioned`), a pattern (`t2i/*`) or a group
            (`group:curation_t2i`). A leading `+` (and everything upstream) is allowed and changes nothing,
            for what a selection needs is always made; a trailing one adds everything downstream.
        assets: the recipe's assets.

    Raises:
        UserError: a term matches nothing.
    """
    terms = [term.strip() for term in selection.split(",") if term.strip()]
    if not terms:
        raise UserError("the selection is empty", "--select", f"Assets: {_known(assets)}")
    keys = dict.fromkeys(chosen for term in terms for chosen in _expand(term, assets))
    return ",".join(keys)


def _expand(term: str, assets: Sequence[JobAsset]) -> list[str]:
    name = term.strip("+")
    if name.startswith(GROUP):
        found = [asset.key for asset in assets if asset.group == name.removeprefix(GROUP)]
    else:
        found = [asset.key for asset in assets if fnmatch.fnmatchcase(asset.key, name)]
    if not found:
        raise UserError(f"{name!r} selects nothing", "--select", _suggest(name, assets))
    chosen = _with_downstream(found, assets) if term.endswith("+") else found
    return [f"+{key}" for key in chosen]


def _with_downstream(keys: list[str], assets: Sequence[JobAsset]) -> list[str]:
    """The keys and all that is made from them; assets come inputs first, so one pass finds all."""
    found = set(keys)
    for asset in assets:
        if found & set(asset.inputs):
            found.add(asset.key)
    return [asset.key for asset in assets if asset.key in found]


def _suggest(name: str, assets: Sequence[JobAsset]) -> str:
    groups = {f"{GROUP}{asset.group}" for asset in assets}
    close = difflib.get_close_matches(name, [*(asset.key for asset in assets), *sorted(groups)], n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Assets: {_known(assets)}"


def _known(assets: Sequence[JobAsset]) -> str:
    return ", ".join(asset.key for asset in assets)
