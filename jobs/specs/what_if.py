"""What the jobs that answer questions about a recipe are told."""

from __future__ import annotations

from pydantic import Field

from jobs.recipe import Section
from jobs.specs import PackSettings


class ComparePackersSettings(Section):
    """what_if/packers, inputs those of packs/<stage>: how each packer would pack the stage."""

    pack: PackSettings
    ranks: int = Field(ge=1)
    """Packs of one training step, one for each rank."""
