"""A home and the recipe it is about: which recipe a command means, and opening Dagster on both.

The resolved recipe of the latest run is kept in the home, so that `up`, `status` and `generate` need
no other argument than the home.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from infra import storage
from infra.errors import UserError
from infra.settings import prepare_dagster_home, resolve_home
from infra.yaml_model import load_yaml_model
from jobs.recipe import Recipe
from jobs.recipe.sources import Listed, Mix, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterInstance

    from assets.project import Project, Watch

SHIPPED = Path(__file__).parents[1] / "recipes"
CURRENT = "recipes/current.yaml"


@dataclass(frozen=True)
class Workspace:
    """A home and its current recipe."""

    home: str
    recipe: Recipe

    def project(self, watch: Watch | None = None) -> Project:
        """The project whose assets these are."""
        from assets.project import Project

        return Project(self.recipe, self.home, watch)

    def open_instance(self) -> DagsterInstance:
        """The Dagster instance that keeps this home's history."""
        from dagster import DagsterInstance

        return DagsterInstance.from_config(prepare_dagster_home(self.home))

    @property
    def recipe_path(self) -> str:
        """The home's recipe as a local file, for the processes that Dagster starts."""
        return _local_recipe(self.home)


def shipped_recipes() -> Iterator[str]:
    """Names of the recipes that come with the package."""
    return (path.stem for path in sorted(SHIPPED.glob("*.yaml")))


def begin(home: str | None, recipe: str, overrides: list[str] | None = None) -> Workspace:
    """Make a recipe the current one of a home.

    Args:
        home: a folder or `s3://bucket/prefix`; NEXTSCALE_HOME or ./.nextscale when absent.
        recipe: a YAML file, or the name of a shipped recipe.
        overrides: `dotted.key=value` settings that win over the file.

    Raises:
        UserError: the recipe cannot be read or is wrong, or the home cannot be written.
    """
    model = load_yaml_model(Recipe, _find(recipe), overrides)
    workspace = Workspace(resolve_home(home), _with_absolute_sources(model))
    text = yaml.safe_dump(workspace.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    storage.publish_bytes(storage.join(workspace.home, CURRENT), text.encode())
    return workspace


def resume(home: str | None) -> Workspace:
    """A home with the recipe of its latest run.

    Raises:
        UserError: nothing was ever run there.
    """
    place = resolve_home(home)
    uri = storage.join(place, CURRENT)
    if not storage.exists(uri):
        raise UserError("nothing was run in this home yet", place, f"Run: nextscale demo --home {place}")
    return Workspace(place, load_yaml_model(Recipe, _local_recipe(place)))


def begin_or_resume(home: str | None, recipe: str | None, overrides: list[str] | None = None) -> Workspace:
    """`begin` where a recipe is given; else the home's own recipe, with overrides if any."""
    if recipe is not None:
        return begin(home, recipe, overrides)
    workspace = resume(home)
    return begin(home, workspace.recipe_path, overrides) if overrides else workspace


def _find(recipe: str) -> str:
    if Path(recipe).is_file():
        return recipe
    shipped = SHIPPED / f"{recipe}.yaml"
    if shipped.is_file():
        return str(shipped)
    names = ", ".join(shipped_recipes())
    raise UserError("no such recipe", recipe, f"Give a YAML file, or the name of a shipped recipe: {names}")


def _with_absolute_sources(recipe: Recipe) -> Recipe:
    """A relative source folder means one thing here and another where Dagster runs."""
    given: dict[str, Source] = {
        family: _absolute(source) for family, source in recipe.sources.given().items()
    }
    return recipe.model_copy(update={"sources": recipe.sources.model_copy(update=given)})


def _absolute(source: Source) -> Source:
    if isinstance(source, Mix):
        return source.model_copy(update={"parts": {n: _absolute(part) for n, part in source.parts.items()}})
    if not isinstance(source, Listed) or storage.is_remote(source.uri):
        return source
    return source.model_copy(update={"uri": os.path.abspath(os.path.expanduser(source.uri))})


def _local_recipe(home: str) -> str:
    """The home's recipe as a local file; of a remote home, a copy beside Dagster's records."""
    uri = storage.join(home, CURRENT)
    if not storage.is_remote(home):
        return uri
    path = storage.join(prepare_dagster_home(home), "recipe.yaml")
    storage.publish_bytes(path, storage.read_bytes(uri))
    return path
