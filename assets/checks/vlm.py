"""The check of every stage that may ask a model: it was there for enough of the questions."""

from __future__ import annotations

from assets.checks import Check, Published, Verdict, no_problems
from jobs.recipe.vlm import Asked


def _answered(output: Published) -> Verdict:
    models = [value for _, value in output.settings if isinstance(value, Asked)]
    if not models:
        return Verdict(True, "no model was asked")
    said = output.manifest.metadata["vlm"]
    asked, lost = said["asked"], said["unreachable"]
    limit = max(model.min_answered for model in models)
    problems = []
    if asked - lost < limit * asked:
        share = f"{lost} of {asked} questions reached nobody"
        problems.append(
            f"{share}, at least {limit:.0%} are to be answered: raise vlm.round to ask them again"
        )
    fine = f"{asked - lost} of {asked} questions reached the model"
    return no_problems(problems, fine, asked=asked, unreachable=lost)


ANSWERED = Check("enough_answered", "The model was there for as many questions as wanted.", _answered)
