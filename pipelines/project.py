"""The project that the environment names: which recipe, which home."""

from __future__ import annotations

import os
from pathlib import Path

from assets.project import Project
from infra.settings import RECIPE_VARIABLE, resolve_home
from infra.yaml_model import load_yaml_model
from jobs.recipe import Recipe

DEMO_RECIPE = str(Path(__file__).parent / "recipes" / "demo.yaml")


def load_recipe(path: str | None = None, overrides: list[str] | None = None) -> Recipe:
    """A recipe: the file given, else NEXTSCALE_RECIPE, else the shipped demo.

    Raises:
        UserError: the file cannot be read or is wrong; with file and line.
    """
    chosen = path or os.environ.get(RECIPE_VARIABLE) or DEMO_RECIPE
    return load_yaml_model(Recipe, chosen, overrides)


def project_from_environment() -> Project:
    """The project of NEXTSCALE_HOME and NEXTSCALE_RECIPE."""
    return Project(load_recipe(), resolve_home())
