"""What every part of a recipe is."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Weights:
    """Marks a setting that names weights or a text tokenizer, as `Annotated[str, Weights()]`.

    Where that is a local path, the files there decide what is made as much as the path does.
    """
