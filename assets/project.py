"""A project: a recipe and the home it is published under. Everything the assets need to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from infra.launch import InProcessLauncher, Launcher, RayJobsLauncher
from infra.reporter import Reporter
from jobs.recipe import Recipe

Watch = Callable[[str, str | None], Reporter]
"""From an asset's key and partition to where else its progress goes, such as a terminal."""


@dataclass(frozen=True)
class Project:
    """A recipe, its home, and who watches."""

    recipe: Recipe
    home: str
    watch: Watch | None = None

    @property
    def launcher(self) -> Launcher:
        """Where the recipe wants its jobs to run."""
        if self.recipe.launcher == "ray_jobs":
            return RayJobsLauncher(self.recipe.ray_address)
        return InProcessLauncher()
