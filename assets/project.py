"""A project: a recipe and the home it is published under. Everything the assets need to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from assets.forgotten import merge_forgotten
from infra.launch import InProcessLauncher, Launcher, RayJobsLauncher
from infra.reporter import Reporter
from jobs.recipe import Recipe

Watch = Callable[[str, str | None], Reporter]
"""From an asset's key and partition to where else its progress goes, such as a terminal."""


@dataclass(frozen=True)
class Project:
    """A recipe, its home, and who watches.

    What the home has forgotten by now is forgotten by the recipe, too, whoever makes the project.
    """

    recipe: Recipe
    home: str
    watch: Watch | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipe", merge_forgotten(self.recipe, self.home))

    @property
    def launcher(self) -> Launcher:
        """Where the recipe wants its jobs to run."""
        if self.recipe.launcher == "ray_jobs":
            return RayJobsLauncher(self.recipe.ray_address)
        return InProcessLauncher()
