"""docs/curation.md: every example is a recipe's, and the reasons of the filters are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from jobs.curate.t2i.decisions import REASONS
from jobs.recipe import Curation, Sources
from jobs.recipe.vlm import VlmSettings

PAGE = (Path(__file__).parents[3] / "docs" / "curation.md").read_text(encoding="utf-8")
SECTIONS = {"sources": Sources, "curation": Curation, "vlm": VlmSettings}


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_an_example_is_a_recipes(example: str) -> None:
    sections = yaml.safe_load(example)
    sections |= {"sources": {"t2i": {"kind": "scenes", "count": 1}} | sections.get("sources", {})}
    for name, section in sections.items():
        TypeAdapter(SECTIONS[name]).validate_python(section)


def test_the_filters_reasons_are_all_there() -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| `t2i/filtered`"))
    assert tuple(re.findall("`([a-z_]+)`", row.split(" | ")[2])) == REASONS
