"""What packing tells about itself: every document's fate, counts, and how even the packs are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from infra.catalogue import BASE_FIELDS, Counts
from infra.document import format_id
from jobs.pack.payload import TokenFile
from jobs.pack.plan import Plan
from jobs.pictures.charts import pack_fill

_SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("family", pa.string()),
        ("tokens", pa.int64()),
        ("flops", pa.float64()),
        ("pack", pa.int32()),
    ]
)


def catalogue(plan: Plan, files: Sequence[TokenFile]) -> pa.Table:
    """One row per document: the pack it is in, or the reason why it is in none."""
    documents = plan.documents
    pack = np.full(len(documents), -1, np.int32)
    for number, positions in enumerate(plan.packs):
        pack[positions] = number
    places = zip(documents.file.tolist(), documents.ids.tolist(), strict=True)
    columns = {
        "sample_id": documents.ids,
        "source": [f"{files[file].label}#{format_id(id_)}" for file, id_ in places],
        "status": np.where(pack >= 0, "kept", "rejected").tolist(),
        "reason": [reason or None for reason in plan.reasons.tolist()],
        "detail": [None] * len(documents),
        "family": documents.family.tolist(),
        "tokens": documents.tokens,
        "flops": documents.flops,
        "pack": pa.array(pack, mask=pack < 0),
    }
    return pa.Table.from_pydict(columns, schema=_SCHEMA).sort_by("source")


def counts(plan: Plan) -> Counts:
    """How many documents went in and what became of them."""
    rejected = Counter(reason for reason in plan.reasons.tolist() if reason)
    packed = sum(len(p) for p in plan.packs)
    return Counts(total=len(plan.documents), kept=packed, rejected=dict(sorted(rejected.items())))


def figures(plan: Plan) -> dict[str, Any]:
    """How full and how even the packs are, and the families' shares of the tokens."""
    tokens, flops = plan.pack_tokens(), plan.pack_flops()
    packed = plan.documents.take(np.concatenate(plan.packs))
    return {
        "packs": len(plan.packs),
        "packs_lower_bound": plan.lower_bound(),
        "documents": len(packed),
        "documents_per_pack": len(packed) / len(plan.packs),
        "tokens": int(tokens.sum()),
        "max_tokens": plan.limits.tokens,
        "budget_flops": plan.limits.flops,
        "token_fill_mean": float(tokens.mean() / plan.limits.tokens),
        "token_fill_min": float(tokens.min() / plan.limits.tokens),
        "flops_balance": float(flops.mean() / flops.max()),
        "mixture": {
            str(family): float(packed.tokens[packed.family == family].sum() / tokens.sum())
            for family in np.unique(packed.family)
        },
    }


def fill_chart(plan: Plan) -> bytes:
    """A PNG: how much of the token cap and of the compute budget the packs use."""
    tokens, flops = plan.pack_tokens(), plan.pack_flops()
    balance = flops.mean() / flops.max()
    title = f"{len(plan.packs):,} packs; compute balance (mean / max) {balance:.3f}"
    return pack_fill(tokens.tolist(), flops.tolist(), plan.limits.tokens, plan.limits.flops, title)
