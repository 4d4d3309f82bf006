"""Group `evaluation`: pictures of fixed prompts after a stage, scored where the truth is known."""

from __future__ import annotations

from assets.checks.evaluation import SAMPLES
from assets.job_asset import JobAsset
from jobs.recipe import Recipe
from jobs.specs import EvaluateSettings


def assets(recipe: Recipe, stage: str) -> list[JobAsset]:
    """The evaluations of a stage, if the recipe asks for them."""
    if stage not in recipe.evaluation.stages:
        return []
    return [
        JobAsset(
            key=f"evaluation/{stage}/fixed_prompts",
            group="evaluation",
            job="jobs.evaluate.run:run",
            area=f"evals/{stage}/fixed_prompts",
            inputs=(f"training/{stage}", "tokenizer/decoder"),
            settings=lambda recipe, _: EvaluateSettings(
                evaluation=recipe.evaluation,
                level=recipe.levels[recipe.stages[stage].level],
                model=recipe.model,
            ),
            description=f"Pictures that the model draws from fixed prompts after stage {stage}.",
            checks=(SAMPLES,),
        )
    ]
