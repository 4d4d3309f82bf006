"""docs/sources.md: an example of every kind of source, and every example is a recipe's."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from jobs.recipe import Section
from jobs.recipe import sources as kinds
from jobs.recipe.sources import Sources
from jobs.sources.read import reader_of

PAGE = (Path(__file__).parents[3] / "docs" / "sources.md").read_text()


def examples(page: str) -> list[Sources]:
    """The examples of a page, as sources of a recipe; pictures are drawn where an example names none."""
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.S)
    drawn = {"t2i": {"kind": "scenes", "count": 1}}
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    return [Sources.model_validate(drawn | document["sources"]) for document in documents]


def given(sources: Sources) -> Iterator[Any]:
    for source in sources.given().values():
        yield from source.parts.values() if isinstance(source, kinds.Mix) else (source,)


def test_every_kind_has_an_example_that_a_recipe_may_have() -> None:
    found = {type(source) for sources in examples(PAGE) for source in given(sources)}
    every = {
        kind
        for kind in vars(kinds).values()
        if isinstance(kind, type) and issubclass(kind, Section) and "kind" in kind.model_fields
    }
    assert {kind for kind in every - found if not issubclass(kind, kinds.Mix)} == set()


def test_every_kind_can_be_read() -> None:
    for sources in examples(PAGE):
        for source in given(sources):
            assert reader_of(source).WANTED


def test_a_wrong_example_is_found() -> None:
    with pytest.raises(ValidationError, match="uri"):
        examples("```yaml\nsources:\n  t2i: {kind: coyo, url: ./x}\n```")
