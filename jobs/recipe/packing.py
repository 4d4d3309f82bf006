"""How documents become packs of equal compute."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from infra.document import Family
from jobs.recipe.section import Section


class Packing(Section):
    """Limits of a pack, and how packs are filled."""

    max_tokens: int = Field(ge=64)
    """Token cap of one pack."""
    fill: float = Field(default=0.95, gt=0, le=1)
    """Compute budget of a pack, as the share of what a pack full of average documents costs."""
    packer: Literal["balanced", "fixed_budget", "fixed_length"] = "balanced"
    """`balanced`: all packs of nearly the same compute; `fixed_budget`: in order up to the budget or the cap,
    as the paper's section 4 can be read; `fixed_length`: in order up to the cap alone."""
    attention_cost: float = Field(default=1.0, gt=0)
    """How much more time a device takes for a FLOP of attention than for one of the matrices;
    `bench/fit_cost.py` fits it."""
    oversize: Literal["reject", "alone"] = "reject"
    """What becomes of a document within the token cap that costs more than the budget: `alone` has a pack
    to itself."""
    repeats: dict[Family, Annotated[int, Field(ge=1)]] = Field(default={})
    """How many times a document of a family may be packed, so that a scarce family bounds the others less.
    Later times come only when every document was packed before; 1 where nothing is said."""
    min_balance: float = Field(default=0.8, ge=0, le=1)
    """Mean over maximum compute of the packs of a step that a check asks for, on the average of all steps."""
