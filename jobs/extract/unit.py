"""One curated unit into one Parquet file of tokens, by a worker that loads the tokenizers once."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import torch

from infra.catalogue import count
from infra.errors import UserError
from infra.manifest import Output, Receipt
from jobs.attempts import DEATHS_OF_ONE, Attempts, Span
from jobs.extract.codes import PictureEncoder
from jobs.extract.encode import Encoder
from jobs.extract.figures import schedule_counts, unit_figures
from jobs.extract.parts import Parts, Piece, join
from jobs.extract.plan import Plan, Tar, iter_span
from jobs.extract.prepare import WORKER_DIED, Refusal
from jobs.models import load_text, load_tokenizer
from jobs.schemas import TOKENS_SCHEMA, with_metadata
from jobs.units import Unit
from model.tokenizer import Correction

GROUP_DOCUMENTS = 256
"""Documents in one Parquet row group."""

MOST_DEATHS = 10
"""Deaths that no document is to blame for, after which the run ends."""


def load_encoder(plan: Plan) -> Encoder:
    """Load both tokenizers, or the one that texts need.

    Raises:
        UserError: they cannot be loaded, or there is no such device.
    """
    settings = plan.settings
    text = load_text(settings.text_tokenizer)
    if plan.tokenizer is None:
        return Encoder(text, settings.context_mode)
    correction = Correction(**settings.tokens.self_correction.model_dump())
    pictures = PictureEncoder(load_tokenizer(plan.tokenizer), correction, settings.tokens.device)
    return Encoder(text, settings.context_mode, pictures, plan.schedules(), settings.level_name, plan.seed)


class Extractor:
    """A worker: built once, called with units."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._encoder: Encoder | None = None

    def __call__(self, unit: Unit[Tar]) -> Receipt:
        """Publish `data/<unit>.parquet`; documents that have no tokens go into the receipt."""
        attempts = Attempts(self._plan.output, unit.name, self._plan.session)
        encoder = self._load(attempts)
        pieces = list(self._pieces(unit, attempts, encoder))
        if attempts.is_cut(_whole(unit)):
            _check(attempts.deaths("join"), f"joined the parts of {unit.name}")
            attempts.begin("join")
        return _publish(self._plan, unit, join(pieces))

    def _load(self, attempts: Attempts) -> Encoder:
        """The encoder. Here, and not when the worker is built, so that deaths while loading are counted."""
        if self._encoder is None:
            _check(attempts.deaths_in_a_row("load"), "loaded the tokenizers")
            attempts.begin("load")
            torch.set_num_threads(1)
            self._encoder = load_encoder(self._plan)
        return self._encoder

    def _pieces(self, unit: Unit[Tar], attempts: Attempts, encoder: Encoder) -> Iterator[Piece]:
        """All documents of the unit: at once, or in the parts that earlier deaths made of it."""
        whole = _whole(unit)
        parts = Parts(self._plan.output, unit.name)
        for span in attempts.spans(whole):
            if (found := parts.read(span)) is not None:
                yield found
                continue
            if attempts.is_hopeless(span):
                piece = _given_up(unit.payload, span)
            else:
                attempts.begin(span)
                piece = encoder.encode(iter_span(unit.payload, span), self._plan.settings.tokens.prefetch)
            if span != whole:
                parts.publish(span, piece)
            yield piece


def _whole(unit: Unit[Tar]) -> Span:
    return Span(0, unit.payload.entry.rows)


def _check(deaths: int, doing: str) -> None:
    """End a run whose workers die of something that cutting units does not mend."""
    if deaths >= MOST_DEATHS:
        what = f"{deaths} workers died while they {doing}"
        raise UserError(what, "tokens.workers", "Lower it, so that each worker has enough memory")


def path_of(unit: str) -> str:
    """Where the tokens of a unit are published."""
    return f"data/{unit}.parquet"


def _given_up(tar: Tar, span: Span) -> Piece:
    """The one document of a span, which no worker survived."""
    detail = f"the worker died each of {DEATHS_OF_ONE} times that it was encoded alone"
    return Piece(
        refused=[
            Refusal(document.sample_id, "errored", WORKER_DIED, detail, DEATHS_OF_ONE)
            for document, _ in iter_span(tar, span)
        ]
    )


def _publish(plan: Plan, unit: Unit[Tar], piece: Piece) -> Receipt:
    output: Output = plan.output
    used = schedule_counts(piece.rows)
    schedules = [s for s in plan.schedules() if s.name in used]
    schema = with_metadata(TOKENS_SCHEMA, schedules, plan.provenance())
    table = pa.Table.from_pylist(piece.rows, schema=schema)
    entry = output.publish_table(path_of(unit.name), table, GROUP_DOCUMENTS)
    outcomes = [("kept", None)] * len(piece.rows) + [(r.status, r.reason) for r in piece.refused]
    refused = [refusal.to_json() for refusal in piece.refused]
    return Receipt(
        unit=unit.name,
        files=(entry,),
        counts=count(unit.payload.entry.rows, outcomes),
        metadata={"refused": refused, **unit_figures(piece.rows, plan.schedules())},
    )
