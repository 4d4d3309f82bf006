"""A trace as a tree for people: what it comes from above, what was made of it below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.tree import Tree

from pipelines.cli.console import title
from pipelines.cli.lineage_json import scores

if TYPE_CHECKING:
    from assets.lineage.ancestry import Fate
    from assets.lineage.checkpoints import Checkpoint
    from assets.lineage.onward import Packed, TokenRow
    from assets.lineage.trace import CheckpointTrace, DocumentTrace, PackTrace, RecordTrace, Trace

WORDS = ("shard", "url", "topic", "task", "subset", "maker", "subject", "subject_type", "width", "height")
"""Columns that are shown besides those that hold fractions."""

SHOWN_PACKS = 8
"""Packs on one line; a document that repeats can be in many."""

_COLOURS = {"kept": "green", "rejected": "yellow", "errored": "red"}


def to_trees(trace: Trace, forgotten: Mapping[str, Sequence[str]]) -> Iterator[Tree]:
    """One tree for each source record, or the one of a pack or a checkpoint.

    Args:
        trace: what was found.
        forgotten: samples that no pack may hold, with the folders of checkpoints that had seen each.
    """
    from assets.lineage.trace import PackTrace, RecordTrace

    if isinstance(trace, RecordTrace):
        yield from (_record_tree(record, trace, forgotten) for record in trace.records)
    else:
        yield _pack_tree(trace) if isinstance(trace, PackTrace) else _checkpoint_tree(trace)


def _record_tree(record: str, trace: RecordTrace, forgotten: Mapping[str, Sequence[str]]) -> Tree:
    """A record, and under it a branch for each family and each thing made of it there."""
    tree = Tree(f"[bold]{escape(record)}[/]")
    fates = [fate for fate in trace.fates if record in fate.records]
    documents = {(id(d.fate.row)): d for d in trace.documents}
    for (family, source), chain in _chains(fates):
        name = family if source == record else f"{family} {source}"
        branch = tree.add(f"[cyan]{escape(name)}[/]")
        told: dict[str, Any] = {}
        for fate in chain:
            node = branch.add(_fate_line(fate, told))
            if (document := documents.get(id(fate.row))) is not None:
                _add_document(node, document, forgotten)
    return tree


def _chains(fates: Sequence[Fate]) -> Iterator[tuple[tuple[str, str], list[Fate]]]:
    """Fates of one record in one family, stage by stage."""

    def key(fate: Fate) -> tuple[str, str]:
        return fate.place.asset.key.partition("/")[0], fate.row["source"]

    order = list(dict.fromkeys(key(fate) for fate in fates))
    ordered = sorted(fates, key=lambda fate: order.index(key(fate)))
    return ((name, list(chain)) for name, chain in groupby(ordered, key=key))


def _fate_line(fate: Fate, told: dict[str, Any]) -> str:
    """What a stage decided, why, and what it measured that is not told yet."""
    row, status = fate.row, fate.row["status"]
    why = f" {row['reason']}" if row["reason"] else ""
    detail = f" ({row['detail']})" if row["detail"] else ""
    figures = _figures(row)
    new = [f"{name} {value}" for name, value in figures.items() if told.get(name) != value]
    told.update(figures)
    name = escape(title(fate.place.asset.key, fate.place.partition))
    said = f"{name}  [{_COLOURS[status]}]{status}{escape(why)}[/]{escape(detail)}"
    return f"{said}  [dim]{escape('  '.join(new))}[/]" if new else said


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: f"{value:.4g}" if isinstance(value, float) else value
        for name, value in scores(row).items()
        if isinstance(value, float) or name in WORDS
    }


def _add_document(node: Tree, document: DocumentTrace, forgotten: Mapping[str, Sequence[str]]) -> None:
    id_ = document.fate.sample_id
    mark = "  [red]forgotten[/]" if id_ in forgotten else ""
    tars = sorted({f"{row.tar}#{row.member}" for row in document.tokens})
    place = ", ".join(tars) or document.fate.place.folder
    branch = node.add(f"[bold]document {id_}[/]{mark}  [dim]{escape(place)}[/]")
    for row in document.tokens:
        branch.add(_tokens_line(row))
    for packed in document.packed:
        _add_packed(branch, packed, document.checkpoints)
    for folder in forgotten.get(id_, ()):
        branch.add(f"seen by  [dim]{escape(folder)}[/]")
    later = [one for one in document.checkpoints if one.link == "start"]
    for checkpoint in later:
        _add_checkpoint(branch, checkpoint)


def _tokens_line(row: TokenRow) -> str:
    name = escape(title(row.asset, row.partition))
    if row.status != "kept":
        return f"{name}  [{_COLOURS[row.status]}]{row.status} {escape(row.reason or '')}[/]"
    return f"{name}  {row.tokens:,} tokens  [dim]{escape(row.file or row.folder)}[/]"


def _add_packed(branch: Tree, packed: Packed, checkpoints: Iterable[Checkpoint]) -> None:
    """The packs that hold a document, and what was trained on them."""
    if not packed.packs:
        branch.add(f"{packed.asset}  [yellow]{packed.status} {packed.reason or ''}[/]")
        return
    shown = [f"#{pack.number} [dim]{pack.file} row {pack.row}[/]" for pack in packed.packs[:SHOWN_PACKS]]
    more = f", and {len(packed.packs) - SHOWN_PACKS} more" if len(packed.packs) > SHOWN_PACKS else ""
    node = branch.add(f"{packed.asset}  {', '.join(shown)}{more}")
    for checkpoint in checkpoints:
        if checkpoint.link == "packs" and checkpoint.packs == packed.folder:
            _add_checkpoint(node, checkpoint)


def _add_checkpoint(branch: Tree, checkpoint: Checkpoint) -> None:
    how = _reach(checkpoint)
    if checkpoint.link == "start":
        how = f"starts from {checkpoint.before[0]}"
    node = branch.add(f"[bold]{checkpoint.asset}[/]  {how}  [dim]{escape(checkpoint.folder)}[/]")
    for asset, folder in checkpoint.evaluations:
        node.add(f"{asset}  [dim]{escape(folder)}[/]")


def _reach(checkpoint: Checkpoint) -> str:
    """How far a run went over its packs."""
    if checkpoint.epochs < 1:
        return f"read {checkpoint.epochs:.0%} of these packs"
    return f"read these packs {checkpoint.epochs:.3g} times"


def _pack_tree(trace: PackTrace) -> Tree:
    place = f"{trace.place.file} row {trace.place.row}"
    head = f"{trace.asset}#{trace.place.number}[/]  {trace.tokens:,} tokens, {trace.cost:.4g} FLOPs"
    tree = Tree(f"[bold]{head}  [dim]{escape(place)}[/]")
    documents = tree.add(f"[cyan]{len(trace.documents)} documents[/]")
    for one in trace.documents:
        again = f"  time {one.repeat + 1}" if one.repeat else ""
        source = escape(one.source)
        documents.add(f"{one.sample_id}  {one.family}  {one.tokens:,} tokens{again}  [dim]{source}[/]")
    for checkpoint in trace.checkpoints:
        _add_checkpoint(tree, checkpoint)
    return tree


def _checkpoint_tree(trace: CheckpointTrace) -> Tree:
    own = trace.checkpoint
    tree = Tree(f"[bold]{own.asset}[/]  [dim]{escape(own.folder)}[/]")
    packs = tree.add(f"{_reach(own)}  [dim]{escape(own.packs)}[/]")
    for family, share in trace.families.items():
        packs.add(f"{family}  {share:.1%} of the tokens")
    for name in own.before:
        tree.add(f"starts from {name}")
    for asset, folder in own.evaluations:
        tree.add(f"{asset}  [dim]{escape(folder)}[/]")
    for later in trace.after:
        _add_checkpoint(tree, later)
    return tree
