"""`nextscale flops`: what an image costs in FLOPs, as the paper counts and as the architecture is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UserError
from pipelines.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from model.flops import LayerCost
    from model.scales import ScaleSchedule
    from model.transformer.config import TransformerConfig

TEXT_VOCABULARY = 152_064
"""Rows of Qwen2.5-7B's embedding."""
END_ID = 151_643
CODEBOOK_SIZE = 32_768
CODEBOOK_WIDTH = 40
PAPER_WIDTHS = (2048, 4096)
PRINTED_RATIO = "eq. 11 prints 5.96 for h = 4096, from numbers that are those of h = 2048"


def flops(
    preset: Annotated[
        str,
        typer.Option(
            help="The transformer: `tiny`, `small`, `2b` or `7b` (Qwen2.5-7B's shapes), with Qwen2.5's "
            "vocabulary and 32,768 codes."
        ),
    ] = "7b",
    level: Annotated[int, typer.Option(help="Resolution of a square image: 256, 512 or 1024.")] = 1024,
    prefix: Annotated[int, typer.Option(help="Tokens of the prompt before the image.")] = 100,
    hidden: Annotated[
        list[int] | None,
        typer.Option(
            help="Width h at which the paper's layers are compared. Repeatable. Default: 2048 and 4096."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What an image costs in FLOPs: the paper's analysis (A.2) beside the real architecture.

    The first table is the paper's: one textbook layer of width h costs 12 h^2 for each token that is computed
    and 4 h for each (query, key) pair (eq. 8). A diffusion transformer computes every token of the image in
    every step (MMDiT, eq. 9); next-scale prediction computes each token once, over a cache of keys and
    values (NextFlow, eq. 10). The ratio of both is eq. 11. The paper's text and its numbers do not agree on
    what eq. 10 sums over, so every reading has a row, and rows that give the printed numbers are marked.

    The second table counts this model: grouped-query attention, SwiGLU and the output head, for one image,
    in generation and in training. Guidance adds a pass without the prompt. One multiplication with its
    addition is 2 FLOPs.

    Examples:

    - `nextscale flops`: the paper's 1024x1024 image, and a model of 7B
    - `nextscale flops --level 512 --prefix 0`: a smaller image without a prompt
    - `nextscale flops --preset small --hidden 768`: another model, other widths of the paper's layer
    - `nextscale flops --json`: exact numbers
    """
    widths = tuple(hidden or PAPER_WIDTHS)
    _require_sizes(prefix, widths)
    config, schedule = _config(preset), _schedule(level)
    rows, figures = _paper_rows(schedule, prefix, widths), _figures(config, schedule, prefix)
    if as_json:
        values = {f.key: {"textbook": f.textbook, "model": f.model} for f in figures}
        options = {"preset": preset, "level": level, "prefix": prefix}
        print(json.dumps(options | {"paper": [row.to_json() for row in rows], "model": values}))
        return
    size = f"{schedule.width}x{schedule.height}"
    print(f"paper, A.2: FLOPs of one textbook layer for a {size} image in {len(schedule.grids)} steps")
    _show(_paper_table(rows, widths))
    if any(row.printed and row.ratios for row in rows):
        print(PRINTED_RATIO)
    print(f"\nmodel: a {size} image after a prompt of {prefix:,} tokens, all {config.layers} layers")
    _show(_model_table(preset, figures))


def _require_sizes(prefix: int, widths: Sequence[int]) -> None:
    if prefix < 0:
        raise UserError(f"a prompt has 0 or more tokens, not {prefix}", "--prefix")
    if min(widths) < 1:
        raise UserError(f"a layer is 1 or more wide, not {min(widths)}", "--hidden")


def _config(preset: str) -> TransformerConfig:
    from model.transformer.config import TransformerConfig

    try:
        return TransformerConfig.preset(
            preset,
            text_vocabulary=TEXT_VOCABULARY,
            codebook_size=CODEBOOK_SIZE,
            codebook_width=CODEBOOK_WIDTH,
            end_id=END_ID,
        )
    except ValueError as error:
        raise UserError(str(error), "--preset") from error


def _schedule(level: int) -> ScaleSchedule:
    from model.flops import level_schedule

    try:
        return level_schedule(level)
    except ValueError as error:
        raise UserError(str(error), "--level") from error


@dataclass(frozen=True)
class PaperRow:
    """A line of the paper's comparison; `ratios` are how many times its FLOPs MMDiT takes, by width."""

    name: str
    cost: LayerCost
    printed: bool
    ratios: dict[int, float]

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        counts = {"tokens": self.cost.tokens, "pairs": self.cost.pairs}
        return (
            {"name": self.name}
            | counts
            | asdict(self.cost)
            | {
                "printed": self.printed,
                "ratios": self.ratios,
            }
        )


def _paper_rows(schedule: ScaleSchedule, prefix: int, widths: Sequence[int]) -> list[PaperRow]:
    from model.flops import PRINTED_MMDIT, PRINTED_NEXTFLOW, flops_ratio, mmdit_cost, readings

    mmdit = mmdit_cost(schedule)
    rows = [PaperRow("MMDiT", mmdit, mmdit == PRINTED_MMDIT, {})]
    for reading in readings(schedule, prefix):
        ratios = {h: flops_ratio(mmdit, reading.cost, h) for h in widths}
        printed = reading.cost == PRINTED_NEXTFLOW
        rows.append(PaperRow(f"NextFlow, {reading.name}", reading.cost, printed, ratios))
    return rows


def _paper_table(rows: Sequence[PaperRow], widths: Sequence[int]) -> Table:
    from pipelines.cli.tables import start_table

    table = start_table(("",), ("tokens", "h^2", "h", *(f"ratio, h={h}" for h in widths)), ("",))
    for row in rows:
        counts = [f"{n:,}" for n in (row.cost.tokens, row.cost.square, row.cost.linear)]
        ratios = [f"{row.ratios[h]:.2f}" if row.ratios else "" for h in widths]
        table.add_row(row.name, *counts, *ratios, "as printed" if row.printed else "")
    return table


@dataclass(frozen=True)
class Figure:
    """One figure for textbook layers, where they have it, and for this model."""

    key: str
    label: str
    textbook: float | None
    model: float


def _figures(config: TransformerConfig, schedule: ScaleSchedule, prefix: int) -> list[Figure]:
    generation = _generation_figures(config, schedule, prefix)
    return [*_layer_figures(config), *generation, *_other_figures(config, schedule, prefix)]


def _layer_figures(config: TransformerConfig) -> list[Figure]:
    """Of one token, and of one layer where the label says so."""
    from model import flops as f

    position, unit = f.position_flops(config), config.layers * config.hidden**2
    projections, feed_forward = f.attention_flops(1, 0, 1), f.feed_forward_flops(1, 1)
    here = ", h^2 a token and layer"
    cache = f.cache_bytes(config)
    book_cache = cache * config.heads // config.kv_heads
    return [
        Figure("projections_h2", f"attention's matrices{here}", projections, position.projections / unit),
        Figure("feed_forward_h2", f"feed-forward{here}", feed_forward, position.feed_forward / unit),
        Figure("matrices_h2", f"all matrices{here}", projections + feed_forward, position.layers / unit),
        Figure("head_token", "output head, FLOPs a token", None, position.head),
        Figure("cache_bytes_token", "cache, bytes a token (bf16)", book_cache, cache),
    ]


def _generation_figures(config: TransformerConfig, schedule: ScaleSchedule, prefix: int) -> list[Figure]:
    """FLOPs of generating the image."""
    from model import flops as f

    books = [f.textbook_flops(config, f.generation_passes(schedule, n)) for n in (prefix, 0)]
    reals = [f.generation_flops(config, schedule, n) for n in (prefix, 0)]
    codes = [f.generation_flops(config, schedule, n, codes_only=True).total for n in (prefix, 0)]
    book, real = books[0], reals[0]
    guided = [sum(flops.total for flops in both) for both in (books, reals)]
    alone = "logits of codes alone"
    return [
        Figure("matrices", "layers' matrices", book.matrices, real.matrices),
        Figure("attention", "attention's pairs", book.attention, real.attention),
        Figure("head", "output head, whole vocabulary", None, real.head),
        Figure("generation", "generation, without guidance", book.total, real.total),
        Figure("generation_guided", "generation, with guidance", guided[0], guided[1]),
        Figure("generation_codes", f"without guidance, {alone}", None, codes[0]),
        Figure("generation_codes_guided", f"with guidance, {alone}", None, sum(codes)),
    ]


def _other_figures(config: TransformerConfig, schedule: ScaleSchedule, prefix: int) -> list[Figure]:
    """FLOPs of training on the image, and what a diffusion transformer of the same layers would take."""
    from model import flops as f

    once, recomputed = (f.training_flops(config, schedule, prefix, recompute=r) for r in (False, True))
    passes, diffusion = f.generation_passes(schedule, prefix), f.mmdit_passes(schedule)
    book = f.textbook_flops(config, diffusion).layers / f.textbook_flops(config, passes).layers
    real = f.model_flops(config, diffusion).layers / f.model_flops(config, passes).layers
    return [
        Figure("training", "training, forward and backward", None, once),
        Figure("training_checkpointed", "training, with gradient checkpointing", None, recomputed),
        Figure("mmdit_ratio", "ratio to MMDiT of such layers (eq. 11)", book, real),
    ]


def _model_table(preset: str, figures: Sequence[Figure]) -> Table:
    from pipelines.cli.tables import start_table

    table = start_table(("",), ("textbook layers", preset))
    for figure in figures:
        table.add_row(figure.label, _number(figure.textbook), _number(figure.model))
    return table


def _number(value: float | None) -> str:
    """Small numbers with two digits, middling ones in full, large ones as 1.72e14."""
    if value is None:
        return ""
    if value < 1000:
        return f"{value:.2f}"
    if value < 10**7:
        return f"{value:,.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _show(table: Table) -> None:
    from pipelines.cli.console import make_console

    make_console().print(table)
